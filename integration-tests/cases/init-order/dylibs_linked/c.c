#include <stdio.h>
int b(void);
__attribute__((constructor)) static void init(void) { puts("init C"); }
__attribute__((destructor)) static void fini(void) { puts("fini C"); }
int c(void) { return b() + 3; }
