// After an unload and a new open, .data and .bss are as in the object, and initializers run again.
//#Rule: 22
//#Dylib: P p.c
//#Needs: none
#include "open.h"
int main(void) {
    for (int round = 0; round < 4; round++) {
        void *p = open_or_tell("P");
        int (*work)(void) = (int (*)(void))__orc_rt_jit_dlsym(p, "work");
        int first = work(), second = work();
        printf("round %d: %d %d\n", round, first, second);
        __orc_rt_jit_dlclose(p);
    }
    return 0;
}
