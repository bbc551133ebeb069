// Closing a bogus, stale or over-closed handle is an error that dlerror tells once; nothing crashes.
//#Rule: 23
//#Dylib: P p.c
//#Needs: none
//#ExpectStdout: init P
//#ExpectStdout: fini P
//#ExpectStdout: 0
//#ExpectStdout: refused 1 1 1
//#ExpectStdout: refused 1 1 1
//#ExpectStdout: refused 1 1 1
//#ExpectStdout: 1
#include "open.h"
static void refused(void *handle) {
    int code = __orc_rt_jit_dlclose(handle);
    int told = __orc_rt_jit_dlerror() != 0;
    printf("refused %d %d %d\n", code != 0, told, __orc_rt_jit_dlerror() == 0);
}
int main(void) {
    void *p = open_or_tell("P");
    printf("%d\n", __orc_rt_jit_dlclose(p));
    refused(p);
    refused((void *)0x1234);
    refused(&p);
    printf("%d\n", __orc_rt_jit_dlsym(p, "anything") == 0 && __orc_rt_jit_dlerror() != 0);
    return 0;
}
