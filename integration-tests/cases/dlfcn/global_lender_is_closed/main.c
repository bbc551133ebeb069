// A dylib is bound to one that was opened GLOBAL and is closed first: that one's finalizers run, what was bound stays until the borrower goes. (glibc
// keeps the whole library as if it were linked against.)
//#Rule: 19 28
//#Dylib: P p.c
//#Dylib: HELPER helper.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: 42
//#ExpectStdout: fini HELPER
//#ExpectStdout: 43
//#ExpectStdout: HELPER is loaded 0
//#ExpectStdout: fini P
//#ExpectStdout: end
#include "open.h"
int main(void) {
    void *helper = __orc_rt_jit_dlopen("HELPER", RTLD_NOW | RTLD_GLOBAL), *p = open_or_tell("P");
    int (*work)(void) = (int (*)(void))__orc_rt_jit_dlsym(p, "work");
    printf("%d\n", work());
    __orc_rt_jit_dlclose(helper);
    printf("%d\n", work());
    printf("HELPER is loaded %d\n", __orc_rt_jit_dlopen("HELPER", RTLD_NOW | RTLD_NOLOAD) != 0);
    __orc_rt_jit_dlclose(p);
    puts("end");
    return 0;
}
