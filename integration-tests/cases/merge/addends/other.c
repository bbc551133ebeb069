__attribute__((used)) static const char *keep = "beta";
const char *other_object(void) { return "gamma delta"; }
