#include <stdio.h>
__attribute__((constructor)) static void init(void) { puts("init Q"); }
int answer(void) { return 42; }
