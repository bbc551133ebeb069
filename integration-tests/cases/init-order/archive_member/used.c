#include <stdio.h>
__attribute__((constructor)) static void init(void) { puts("init used.o"); }
int used(void) { return 4; }
