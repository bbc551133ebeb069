#include <stdio.h>
__attribute__((constructor)) static void init(void) { puts("init B"); }
__attribute__((destructor)) static void fini(void) { puts("fini B"); }
int b(void) { return 2; }
