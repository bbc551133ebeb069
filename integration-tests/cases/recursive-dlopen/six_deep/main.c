// Each of six dylibs opens the next from its initializer and closes it from its finalizer.
//#Rule: 8
//#Dylib: P1 p1.c
//#Dylib: P2 p2.c
//#Dylib: P3 p3.c
//#Dylib: P4 p4.c
//#Dylib: P5 p5.c
//#Dylib: P6 p6.c
//#Needs: none
#include "open.h"
int main(void) {
    for (int round = 0; round < 2; round++) {
        void *p = open_or_tell("P1");
        printf("round %d open\n", round);
        __orc_rt_jit_dlclose(p);
        printf("round %d closed\n", round);
    }
    return 0;
}
