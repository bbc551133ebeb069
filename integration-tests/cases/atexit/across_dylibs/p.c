#include <stdio.h>
#include <stdlib.h>
static void p1(void) { puts("P 1"); }
static void p2(void) { puts("P 2"); }
__attribute__((constructor)) static void init(void) { puts("init P"), atexit(p1); }
__attribute__((destructor)) static void fini(void) { puts("fini P"); }
void register_p2(void) { atexit(p2); }
