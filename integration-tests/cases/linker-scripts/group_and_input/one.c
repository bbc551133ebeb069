int two(int);
int one(int x) { return x ? two(x) + 1 : 0; }
