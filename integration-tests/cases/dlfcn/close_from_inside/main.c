// A dylib that closes itself from its initializer is not pulled from under its own feet: its finalizer runs when the last count is given back.
//#Rule: 23
//#Dylib: P p.c
//#Needs: none
#include "open.h"
int main(void) {
    void *p = open_or_tell("P");
    puts("P opened");
    __orc_rt_jit_dlclose(p);
    puts("end");
    return 0;
}
