const char *in_a_and_b(void) { return "B"; }
const char *in_b_and_d(void) { return "B"; }
