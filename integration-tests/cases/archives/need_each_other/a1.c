int b1(int); int a1(int x) { return 10 + b1(x); }
