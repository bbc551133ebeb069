const char *in_all(void) { return "P"; }
__attribute__((visibility("hidden"))) const char *hidden_in_p(void) { return "hidden"; }
const char *(*keep)(void) = hidden_in_p;
