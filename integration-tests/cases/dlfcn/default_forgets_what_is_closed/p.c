#include <stdio.h>
__attribute__((destructor)) static void fini(void) { puts("fini P"); }
const char *name(void) { return "P"; }
