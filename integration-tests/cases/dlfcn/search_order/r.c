const char *in_all(void) { return "R"; }
const char *in_right_and_deep(void) { return "R"; }
