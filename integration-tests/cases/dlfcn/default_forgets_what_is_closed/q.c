#include <stdio.h>
__attribute__((destructor)) static void fini(void) { puts("fini Q"); }
const char *name(void) { return "Q"; }
