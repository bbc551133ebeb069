// An initializer catches what the initializer of a dylib threw that it opened: its own dylib is none the worse.
//#Rule: 9 15
//#Dylib: P p.cc
//#Dylib: Q q.cc
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: init P begins
//#ExpectStdout: init Q
//#ExpectStdout: caught: no luck
//#ExpectStdout: init P ends
//#ExpectStdout: P 1, Q 0
//#ExpectStdout: fini P
//#ExpectStdout: closed 0
#include "open.h"
int main() {
    void *p = open_or_tell("P"), *q = __orc_rt_jit_dlopen("Q", RTLD_NOW);
    printf("P %d, Q %d\n", p != nullptr, q != nullptr);
    int closed = __orc_rt_jit_dlclose(p);
    printf("closed %d\n", closed);
    return 0;
}
