const char *in_all(void) { return "L"; }
