extern __thread int of_c;
static __thread int mine = 7;
int *b_sees(void) { return &of_c; }
int b_private(void) { return mine++; }
