// exit() from a finalizer that a dlclose runs: handlers of all dylibs, the newest first, then the finalizers of what is left. The array whose
// entry called exit is not taken up again. (The same in glibc, but for the order of Q and R, which have nothing to do with each other.)
//#Rule: 19 20
//#Dylib: P p.c needs Q
//#Dylib: Q q.c
//#Dylib: R r.c
//#Needs: R
//#Flags: -O1
//#Pic: pic
//#Exit: 4
//#ExpectStdout: init R
//#ExpectStdout: init Q
//#ExpectStdout: init P
//#ExpectStdout: fini P exits
//#ExpectStdout: handler of main
//#ExpectStdout: handler of P
//#ExpectStdout: fini Q
//#ExpectStdout: fini R
#include "open.h"
#include <stdlib.h>
static void handler(void) { puts("handler of main"); }
int main(void) {
    void *p = open_or_tell("P");
    atexit(handler);
    __orc_rt_jit_dlclose(p);
    puts("not reached");
    return 1;
}
