__thread int chosen = 11;
int *other_sees(void) { return &chosen; }
