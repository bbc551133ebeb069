#include <stdio.h>
#include <stdlib.h>
static void older(void) { puts("older handler of P"); }
static void newer(void) {
    puts("newer handler of P exits");
    exit(5);
}
__attribute__((constructor)) static void init(void) { puts("init P"); }
__attribute__((destructor)) static void fini(void) { puts("fini P"); }
void work(void) { atexit(older), atexit(newer); }
