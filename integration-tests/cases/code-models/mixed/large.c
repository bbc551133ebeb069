extern int value;
int large_own[20000] = {1};
int back_large(int x) { return x + large_own[0]; }
int (*large_pointer)(int) = back_large;
int large(int x) { return large_pointer(x) + value; }
