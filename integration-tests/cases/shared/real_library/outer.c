#include <stdio.h>
int inner(int);
int outer_count;
__attribute__((constructor)) static void init(void) { puts("init outer"); }
int outer(int x) { outer_count++; return inner(x) + 1; }
