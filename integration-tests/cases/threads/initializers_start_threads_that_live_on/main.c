// An initializer starts a thread that goes on after the open, and opens and closes dylibs there; the finalizer ends it. (glibc
// deadlocks: the close holds its lock while the thread wants it.)
//#Rule: 12 18
//#Dylib: P p.c
//#Dylib: Q q.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: opened
//#ExpectStdout: the thread has ended: 1
//#ExpectStdout: 0
#include "open.h"
int main(void) {
    void *p = open_or_tell("P");
    puts("opened");
    int (*rounds)(void) = (int (*)(void))__orc_rt_jit_dlsym(p, "rounds");
    while (rounds() < 20) {}
    printf("%d\n", __orc_rt_jit_dlclose(p));
    return 0;
}
