// An exception leaves an initializer and passes through dlopen to its caller. The dylib is poisoned, which names the initializer; what
// it needs was initialized and is given back; unloaded, it can be opened again. (Natively that is undefined: glibc keeps its lock.)
//#Rule: 15 18
//#Dylib: P p.cc needs Q STATE
//#Dylib: Q q.c
//#Dylib: STATE state.c
//#Needs: STATE
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: init Q
//#ExpectStdout: P throws
//#ExpectStdout: caught 6
//#ExpectStdout: poisoned 1, named 1
//#ExpectStdout: poisoned 1, named 1
//#ExpectStdout: fini Q
//#ExpectStdout: unloading: 0
//#ExpectStdout: init Q
//#ExpectStdout: P completes
//#ExpectStdout: opened 1
//#ExpectStdout: fini P
//#ExpectStdout: fini Q
#include "open.h"
#include <string.h>
extern "C" int attempts;
extern "C" void *poisoned;
static void refused() {
    int refused = !__orc_rt_jit_dlopen("P", RTLD_NOW);
    const char *error = __orc_rt_jit_dlerror();
    printf("poisoned %d, named %d\n", refused, error && strstr(error, "start_of_p") && strstr(error, " P "));
}
int main() {
    try {
        __orc_rt_jit_dlopen("P", RTLD_NOW);
        puts("not reached");
    } catch (int number) {
        printf("caught %d\n", number);
    }
    refused();
    refused();
    // The initializer has opened its own dylib: that count is given back by hand.
    int closed = __orc_rt_jit_dlclose(poisoned);
    printf("unloading: %d\n", closed);
    void *p = open_or_tell("P");
    printf("opened %d\n", p != nullptr);
    return 0;
}
