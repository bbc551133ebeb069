#include <stdio.h>
__attribute__((constructor)) static void init(void) { puts("init unused.o"); }
int unused(void) { return 4; }
