int d(void) { return 2; }
