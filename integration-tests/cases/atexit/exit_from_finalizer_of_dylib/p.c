#include <stdio.h>
#include <stdlib.h>
static void handler(void) { puts("handler of P"); }
__attribute__((constructor)) static void init(void) {
    atexit(handler);
    puts("init P");
}
__attribute__((destructor)) static void older(void) { puts("older fini P"); }
__attribute__((destructor)) static void fini(void) {
    puts("fini P exits");
    exit(4);
}
