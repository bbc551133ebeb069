#include <stdio.h>
__attribute__((constructor)) static void init(void) { puts("init inner"); }
int inner(int x) { return x * 10; }
