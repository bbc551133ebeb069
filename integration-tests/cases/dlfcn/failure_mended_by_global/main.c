// What an open lacked is brought by a dylib that is opened GLOBAL: the repeated open links, and runs exactly what is missing, once.
//#Rule: 14 28
//#Dylib: P p.c needs Q
//#Dylib: Q q.c
//#Dylib: HELPER helper.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
#include "open.h"
int main(void) {
    printf("without: %d\n", __orc_rt_jit_dlopen("P", RTLD_NOW) == 0);
    printf("told: %d\n", __orc_rt_jit_dlerror() != 0);
    void *local = __orc_rt_jit_dlopen("HELPER", RTLD_NOW | RTLD_LOCAL);
    printf("local: %d\n", __orc_rt_jit_dlopen("P", RTLD_NOW) == 0);
    void *helper = __orc_rt_jit_dlopen("HELPER", RTLD_NOW | RTLD_GLOBAL);
    printf("promoted: %d\n", local && local == helper);
    void *p = open_or_tell("P");
    int (*work)(void) = (int (*)(void))__orc_rt_jit_dlsym(p, "work");
    printf("work %d\n", work ? work() : -1);
    printf("%d\n", __orc_rt_jit_dlclose(p));
    printf("%d\n", __orc_rt_jit_dlclose(helper));
    printf("%d\n", __orc_rt_jit_dlclose(helper));
    return 0;
}
