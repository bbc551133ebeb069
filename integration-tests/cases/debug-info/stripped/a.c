static const char *names[] = {"x", "yy", "zzz"};
static int helper(int n) { return names[n][0]; }
int (*volatile keep_a)(int) = helper;
int a(int n) { return keep_a(n); }
