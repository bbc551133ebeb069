extern char huge[200000];
extern const int big_constant[30000];
extern int small;
int *pointer = &small;
int other(int x) { return x + huge[199999] + big_constant[2] + *pointer; }
