// The modes of dlopen(3), alone and together: NOLOAD, NODELETE (given at once, or to what is open), LAZY, GLOBAL, LOCAL, and the null name.
//#Rule: 28
//#Dylib: P p.c
//#Dylib: STAYS stays.c
//#Dylib: LATER later.c
//#Dylib: LAZY lazy.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
#include "open.h"
static void loaded(const char *name) {
    void *handle = __orc_rt_jit_dlopen(name, RTLD_NOW | RTLD_NOLOAD);
    printf("%s is loaded %d, error %d\n", name, handle != 0, __orc_rt_jit_dlerror() != 0);
    if (handle) __orc_rt_jit_dlclose(handle);
}
static void opened_and_closed(const char *name, int mode) {
    printf("opening %s\n", name);
    void *handle = __orc_rt_jit_dlopen(name, mode);
    printf("closing %s: %d\n", name, __orc_rt_jit_dlclose(handle));
    loaded(name);
}
int main(void) {
    loaded("P");
    opened_and_closed("P", RTLD_NOW);
    opened_and_closed("P", RTLD_LAZY);
    opened_and_closed("P", RTLD_NOW | RTLD_LOCAL);
    opened_and_closed("P", RTLD_LAZY | RTLD_GLOBAL);
    opened_and_closed("STAYS", RTLD_NOW | RTLD_NODELETE);
    opened_and_closed("STAYS", RTLD_NOW);
    void *later = open_or_tell("LATER"), *again = __orc_rt_jit_dlopen("LATER", RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    printf("same handle %d\n", later == again);
    __orc_rt_jit_dlclose(later);
    __orc_rt_jit_dlclose(again);
    loaded("LATER");
    opened_and_closed("LAZY", RTLD_LAZY);
    void *self = __orc_rt_jit_dlopen(0, RTLD_NOW), *once_more = __orc_rt_jit_dlopen(0, RTLD_LAZY | RTLD_GLOBAL);
    printf("the program: %d, main in it: %d\n", self && self == once_more, __orc_rt_jit_dlsym(self, "main") == (void *)main);
    printf("%d %d\n", __orc_rt_jit_dlclose(self), __orc_rt_jit_dlclose(once_more));
    puts("end");
    return 0;
}
