int q(int);
static char weight[50000] = {1};
int bump(int *count) { return *count += q(weight[0]); }
