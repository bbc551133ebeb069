int value(void) { return 2; } int c_only(void) { return 3; }
