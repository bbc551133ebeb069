// atexit belongs to the dylib whose code calls it: closing that dylib runs its handlers, newest first, and nobody else's.
//#Rule: 19 20
//#Dylib: P p.c
//#Needs: none
#include "orc_rt.h"
#include <stdio.h>
#include <stdlib.h>
static void of_main(void) { puts("handler of main"); }
int main(void) {
    atexit(of_main);
    void *p = __orc_rt_jit_dlopen("P", RTLD_NOW);
    if (!p) return printf("no P: %s\n", __orc_rt_jit_dlerror()), 1;
    void (*work)(void) = (void (*)(void))__orc_rt_jit_dlsym(p, "work");
    work();
    puts("closing");
    printf("close %d\n", __orc_rt_jit_dlclose(p));
    puts("main ends");
    return 0;
}
