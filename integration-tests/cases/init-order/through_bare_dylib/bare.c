int bare(void) { return 7; }
