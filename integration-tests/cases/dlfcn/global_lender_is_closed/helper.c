#include <stdio.h>
static int count = 41;
int help(void) { return ++count; }
__attribute__((destructor)) static void fini(void) { puts("fini HELPER"); }
