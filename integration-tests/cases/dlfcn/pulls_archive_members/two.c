int one(void); int two(void) { return 11 + one(); }
