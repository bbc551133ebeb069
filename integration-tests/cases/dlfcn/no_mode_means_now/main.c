// A mode without NOW and LAZY means NOW. (dlopen(3) wants one of them; glibc refuses 0 as an invalid mode.)
//#Rule: 28
//#Dylib: P p.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: init P
//#ExpectStdout: 1 1 1
//#ExpectStdout: fini P
#include "open.h"
int main(void) {
    void *p = __orc_rt_jit_dlopen("P", 0), *global = __orc_rt_jit_dlopen("P", RTLD_GLOBAL), *there = dlopen("P", RTLD_NOLOAD);
    printf("%d %d %d\n", p != 0, p == global, p == there);
    __orc_rt_jit_dlclose(p), __orc_rt_jit_dlclose(p), __orc_rt_jit_dlclose(p);
    return 0;
}
