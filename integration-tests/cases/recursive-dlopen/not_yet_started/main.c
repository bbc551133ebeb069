// An initializer opens a dylib of the same open that has not started: it and all below it run now, and the outer open skips them.
//#Rule: 8
//#Dylib: P p.c needs Q R
//#Dylib: Q q.c
//#Dylib: R r.c needs S
//#Dylib: S s.c
//#Needs: none
//#ExpectStdout: init Q begins
//#ExpectStdout: init S
//#ExpectStdout: init R
//#ExpectStdout: init Q ends
//#ExpectStdout: init P
//#ExpectStdout: opened
//#ExpectStdout: fini P
//#ExpectStdout: fini Q
//#ExpectStdout: closed
//#ExpectStdout: fini R
//#ExpectStdout: fini S
#include "open.h"
int main(void) {
    void *p = open_or_tell("P");
    puts("opened");
    __orc_rt_jit_dlclose(p);
    puts("closed");
    return 0;
}
