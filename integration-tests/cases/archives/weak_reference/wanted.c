int wanted(void) { return 2; }
