// Handlers of several dylibs, registered in turns: what closes runs in the exact reverse of what happened, across dylibs. (glibc goes dylib by
// dylib: each one's finalizers, then each one's handlers.)
//#Rule: 19
//#Dylib: P p.c needs Q
//#Dylib: Q q.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: init Q
//#ExpectStdout: init P
//#ExpectStdout: closing
//#ExpectStdout: Q 3
//#ExpectStdout: P 2
//#ExpectStdout: Q 2
//#ExpectStdout: fini P
//#ExpectStdout: P 1
//#ExpectStdout: fini Q
//#ExpectStdout: Q 1
//#ExpectStdout: closed
#include "open.h"
int main(void) {
    void *p = open_or_tell("P");
    void (*p2)(void) = (void (*)(void))__orc_rt_jit_dlsym(p, "register_p2"), (*q2)(void) = (void (*)(void))__orc_rt_jit_dlsym(p, "register_q2"),
         (*q3)(void) = (void (*)(void))__orc_rt_jit_dlsym(p, "register_q3");
    q2(), p2(), q3();
    puts("closing");
    __orc_rt_jit_dlclose(p);
    puts("closed");
    return 0;
}
