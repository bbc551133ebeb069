// A dylib that opens itself from its initializer gets its handle and a count; nothing runs twice.
//#Rule: 7
//#Dylib: P p.c
//#Needs: none
#include "open.h"
int main(void) {
    void *p = open_or_tell("P");
    void **own = (void **)__orc_rt_jit_dlsym(p, "own");
    printf("same handle %d\n", *own == p);
    printf("close %d\n", __orc_rt_jit_dlclose(p));
    puts("still open");
    printf("close %d\n", __orc_rt_jit_dlclose(p));
    puts("closed");
    return 0;
}
