#include "open.h"
static int seen;
static void *q;
__attribute__((constructor)) static void init(void) {
    puts("init P begins");
    q = open_or_tell("Q");
    int (*answer)(void) = (int (*)(void))__orc_rt_jit_dlsym(q, "answer");
    seen = answer();
    puts("init P ends");
}
__attribute__((destructor)) static void fini(void) {
    puts("fini P");
    __orc_rt_jit_dlclose(q);
}
int value(void) { return seen; }
