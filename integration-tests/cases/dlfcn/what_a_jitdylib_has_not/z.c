int zlibVersion(void) { return 42; }
