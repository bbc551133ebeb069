int wanted(void); int strong(void) { return wanted(); }
