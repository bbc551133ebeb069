// Errors name the symbol, the dylib, and what would help.
//#Rule: 17 25
//#Dylib: P p.c
//#Needs: none
//#ExpectStdout: init P
//#ExpectStdout: missing symbol: names the symbol 1, the dylib 1
//#ExpectStdout: missing dylib: names it 1
//#ExpectStdout: update before open: refused 1, told 1
//#ExpectStdout: update of an open one: 0
//#ExpectStdout: fini P
#include "open.h"
#include <string.h>
int main(void) {
    int refused = __orc_rt_jit_dlupdate((void *)0x10) != 0, told = __orc_rt_jit_dlerror() != 0;
    void *p = open_or_tell("P");
    __orc_rt_jit_dlsym(p, "functoin");
    const char *error = __orc_rt_jit_dlerror();
    printf("missing symbol: names the symbol %d, the dylib %d\n", error && strstr(error, "functoin") != 0, error && strstr(error, "P") != 0);
    __orc_rt_jit_dlopen("Missing", RTLD_NOW);
    error = __orc_rt_jit_dlerror();
    printf("missing dylib: names it %d\n", error && strstr(error, "Missing") != 0);
    printf("update before open: refused %d, told %d\n", refused, told);
    printf("update of an open one: %d\n", __orc_rt_jit_dlupdate(p));
    __orc_rt_jit_dlclose(p);
    return 0;
}
