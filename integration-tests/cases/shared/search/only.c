int only(void) { return 6; }
