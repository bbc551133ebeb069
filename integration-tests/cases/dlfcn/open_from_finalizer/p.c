#include "open.h"
__attribute__((destructor)) static void fini(void) {
    puts("fini P begins");
    void *q = open_or_tell("Q");
    int (*answer)(void) = (int (*)(void))__orc_rt_jit_dlsym(q, "answer");
    printf("answer %d\n", answer());
    puts("fini P ends");
}
