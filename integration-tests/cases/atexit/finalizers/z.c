#include <stdio.h>
__attribute__((destructor(300))) static void z300(void) { puts("z 300"); }
__attribute__((destructor)) static void z(void) { puts("z plain"); }
