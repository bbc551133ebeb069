__thread int other = 100;
static __thread char fill[100000];
int *other_sees(void) { fill[3]++; return &other; }
