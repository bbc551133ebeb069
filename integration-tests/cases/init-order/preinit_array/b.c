#include <stdio.h>
__attribute__((constructor)) static void init(void) { puts("init of B"); }
void from_b(void) { puts("B"); }
