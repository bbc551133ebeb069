int base(void); int one(void) { return 10 + base(); }
