#include <stdio.h>
__attribute__((constructor(300))) static void a300(void) { puts("a 300"); }
__attribute__((constructor(200))) static void a200(void) { puts("a 200"); }
__attribute__((constructor)) static void a(void) { puts("a plain"); }
