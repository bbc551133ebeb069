#include <stdio.h>
__attribute__((constructor)) static void b(void) { puts("b plain"); }
__attribute__((constructor(200))) static void b200(void) { puts("b 200"); }
__attribute__((constructor(150))) static void b150(void) { puts("b 150"); }
