int tentative[4];
__attribute__((constructor)) static void init(void) { tentative[1] = tentative[1] * 10 + 1; }
const char *a(void) { return "text"; }
