static int fast(int x) { return x * 100; }
static int slow(int x) { return x * 10; }
static volatile int flag = 1;
static void *resolve(void) { return flag ? (void *)fast : (void *)slow; }
int chosen(int) __attribute__((ifunc("resolve")));
