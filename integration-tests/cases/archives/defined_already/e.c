int d(void); int e(void) { return 10 * d(); }
