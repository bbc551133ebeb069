const char *in_a_and_b(void) { return "A"; }
