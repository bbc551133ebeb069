#include "open.h"
extern void *state;
static void *q;
__attribute__((constructor)) static void init(void) {
    q = open_or_tell("Q");
    puts("init P");
}
__attribute__((destructor)) static void fini(void) {
    printf("closes itself: refused %d\n", __orc_rt_jit_dlclose(state) != 0);
    __orc_rt_jit_dlerror();
    int refused = !__orc_rt_jit_dlopen("P", RTLD_NOW);
    printf("opens itself: refused %d, told %d\n", refused, __orc_rt_jit_dlerror() != 0);
    printf("looks itself up without loading: none %d\n", !__orc_rt_jit_dlopen("P", RTLD_NOW | RTLD_NOLOAD));
    puts("closing Q");
    __orc_rt_jit_dlclose(q);
}
