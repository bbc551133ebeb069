static const char *names[] = {"x", "yy", "zzz"};
static int helper(int n) { return names[n][0]; }
int (*volatile keep_b)(int) = helper;
int b(int n) { return keep_b(n); }
