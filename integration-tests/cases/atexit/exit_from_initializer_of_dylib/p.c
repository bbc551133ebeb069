#include <stdio.h>
#include <stdlib.h>
static void handler(void) { puts("handler of P"); }
__attribute__((constructor)) static void init(void) {
    atexit(handler);
    puts("init P exits");
    exit(3);
}
__attribute__((destructor)) static void fini(void) { puts("fini P, which was never initialized"); }
