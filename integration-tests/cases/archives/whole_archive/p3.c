#include <stdio.h>
extern int count;
__attribute__((constructor)) static void announce(void) { count++; puts("plugin 3"); }
