__thread int needed[100] = {31};
int use(void) { return needed[0] + needed[99]++; }
