static int implementation(int x) { return x + 40; }
static void *resolve(void) { return (void *)implementation; }
int chosen(int) __attribute__((ifunc("resolve")));
int (*from_b(void))(int) { return chosen; }
