// An initializer starts a thread that opens another dylib, looks a symbol up, closes it, and joins that thread. (glibc and LLVM's runtime
// deadlock.) The same from a finalizer.
//#Rule: 12
//#Dylib: P p.c
//#Dylib: Q q.c needs R
//#Dylib: R r.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#Timeout: 30
//#ExpectStdout: init P begins
//#ExpectStdout: init R
//#ExpectStdout: init Q
//#ExpectStdout: answer 42
//#ExpectStdout: fini Q
//#ExpectStdout: fini R
//#ExpectStdout: init P ends
//#ExpectStdout: opened 1
//#ExpectStdout: fini P begins
//#ExpectStdout: init R
//#ExpectStdout: init Q
//#ExpectStdout: answer 42
//#ExpectStdout: fini Q
//#ExpectStdout: fini R
//#ExpectStdout: fini P ends
//#ExpectStdout: end
#include "open.h"
int main(void) {
    void *p = open_or_tell("P");
    printf("opened %d\n", p != 0);
    __orc_rt_jit_dlclose(p);
    puts("end");
    return 0;
}
