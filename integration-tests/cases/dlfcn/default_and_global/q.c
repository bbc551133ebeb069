const char *in_q_and_g(void) { return "Q"; }
