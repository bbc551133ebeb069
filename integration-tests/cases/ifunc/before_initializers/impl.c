static int implementation(void) { return 8; }
static void *resolve(void) { return (void *)implementation; }
static int local(void) __attribute__((ifunc("resolve")));
int chosen(void) { return local() + 1; }
