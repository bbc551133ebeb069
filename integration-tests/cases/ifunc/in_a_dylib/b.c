static int implementation(int x) { return x + 40; }
// Opaque, or clang returns the implementation where the code asks for the function.
static int (*volatile choice)(int) = implementation;
static void *resolve(void) { return (void *)choice; }
int chosen(int) __attribute__((ifunc("resolve")));
int (*from_b(void))(int) { return chosen; }
