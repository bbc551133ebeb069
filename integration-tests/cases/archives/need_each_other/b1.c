int a2(int); int b1(int x) { return 11 + a2(x); }
