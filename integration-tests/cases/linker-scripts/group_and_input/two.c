int one(int);
int two(int x) { return one(x - 1) + 10; }
