const char *in_b_and_d(void) { return "D"; }
const char *in_d(void) { return "D"; }
