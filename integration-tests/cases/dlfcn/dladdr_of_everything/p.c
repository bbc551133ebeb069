static int static_data[8] = {1};
static __attribute__((noinline)) int static_function(int x) { return static_data[x & 7]; }
int exported(int x) { return static_function(x); }
void *places[] = {(void *)static_function, static_data};
