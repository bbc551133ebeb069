// A dependency's initializer opens the ancestor that is being opened: a handle, nothing run; the ancestor's own follow later, once.
//#Rule: 7 18
//#Dylib: P p.c needs Q
//#Dylib: Q q.c
//#Needs: none
#include "open.h"
int main(void) {
    void *p = open_or_tell("P");
    printf("close %d\n", __orc_rt_jit_dlclose(p));
    printf("close %d\n", __orc_rt_jit_dlclose(p));
    puts("end");
    return 0;
}
