int p(void) { return 1; }
