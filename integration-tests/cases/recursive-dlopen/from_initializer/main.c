// An initializer opens another dylib: its initializers are complete when the inner open returns.
//#Rule: 8
//#Dylib: P p.c
//#Dylib: Q q.c needs R
//#Dylib: R r.c
//#Needs: none
#include "open.h"
int main(void) {
    puts("main");
    void *p = open_or_tell("P");
    int (*value)(void) = (int (*)(void))__orc_rt_jit_dlsym(p, "value");
    printf("value %d\n", value());
    printf("close %d\n", __orc_rt_jit_dlclose(p));
    return 0;
}
