int b2(int); int a2(int x) { return 12 + b2(x); }
