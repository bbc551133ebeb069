int a(void) { return 3; }
