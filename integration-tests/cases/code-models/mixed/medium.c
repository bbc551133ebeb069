extern int value;
int medium_own[20000] = {1};
int back_medium(int x) { return x + medium_own[0]; }
int (*medium_pointer)(int) = back_medium;
int medium(int x) { return medium_pointer(x) + value; }
