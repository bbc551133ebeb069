#include "open.h"
__attribute__((constructor)) static void init(void) {
    puts("init P begins");
    void *self = open_or_tell("P");
    __orc_rt_jit_dlclose(self);
    puts("init P ends");
}
__attribute__((destructor)) static void fini(void) { puts("fini P"); }
