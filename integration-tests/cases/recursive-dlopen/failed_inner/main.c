// A failed inner open returns null with an error, and does not spoil the outer one.
//#Rule: 9
//#Dylib: P p.c
//#Needs: none
#include "open.h"
int main(void) {
    void *p = open_or_tell("P");
    int *fails = (int *)__orc_rt_jit_dlsym(p, "fails");
    printf("opened %d, inner failures %d\n", p != 0, *fails);
    printf("close %d\n", __orc_rt_jit_dlclose(p));
    return 0;
}
