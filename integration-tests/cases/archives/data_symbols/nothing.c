static int nobody(void) { return 0; } typedef int (*f)(void); static __attribute__((used)) f keep = nobody;
