__thread int of_c = 1;
static __thread int mine = 70;
int *c_sees(void) { return &of_c; }
int c_private(void) { return mine++; }
