#include "orc_rt.h"
#include <stdio.h>
#include <string.h>
int fails;
__attribute__((constructor)) static void init(void) {
    for (int i = 0; i < 3; i++) {
        if (__orc_rt_jit_dlopen("no_such_dylib", RTLD_NOW)) continue;
        const char *error = __orc_rt_jit_dlerror();
        fails += error && strstr(error, "no_such_dylib") && !__orc_rt_jit_dlerror();
    }
    puts("init P");
}
__attribute__((destructor)) static void fini(void) { puts("fini P"); }
