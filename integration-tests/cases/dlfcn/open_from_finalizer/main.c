// A finalizer may open and close other dylibs.
//#Rule: 8 23
//#Dylib: P p.c
//#Dylib: Q q.c
//#Needs: none
#include "open.h"
int main(void) {
    void *p = open_or_tell("P");
    __orc_rt_jit_dlclose(p);
    puts("end");
    return 0;
}
