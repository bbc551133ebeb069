int replaced(void) { return 6; }
