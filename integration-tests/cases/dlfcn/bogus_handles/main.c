// Every function that takes a handle refuses what is none: null, small numbers, pointers of all kinds, numbers that look like handles, handles of dylibs
// that are gone and have come back. Each refusal is told once; nothing crashes and nothing that is open suffers. (glibc crashes on most.)
//#Rule: 17 23
//#Dylib: P p.c
//#Dylib: Q q.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: init Q
//#ExpectStdout: init P
//#ExpectStdout: fini P
//#ExpectStdout: init P
//#ExpectStdout: refused and told: all
//#ExpectStdout: on another thread: 1
//#ExpectStdout: 1 2
//#ExpectStdout: fini P
//#ExpectStdout: over-closed: all
//#ExpectStdout: fini Q
#include "open.h"
#include <pthread.h>
#include <stdint.h>
static int bad(int refused) {
    int told = __orc_rt_jit_dlerror() != 0;
    return !(refused && told && !__orc_rt_jit_dlerror());
}
static int refuses(void *handle) {
    return bad(__orc_rt_jit_dlclose(handle) != 0) + bad(dlclose(handle) != 0) + bad(__orc_rt_jit_dlupdate(handle) != 0);
}
static int finds_nothing(void *handle) { return bad(!__orc_rt_jit_dlsym(handle, "p")) + bad(!dlsym(handle, "p")); }
static void *elsewhere(void *handle) {
    printf("on another thread: %d\n", refuses(handle) == 0);
    return 0;
}
int main(void) {
    void *q = open_or_tell("Q"), *stale = open_or_tell("P");
    __orc_rt_jit_dlclose(stale);
    void *p = open_or_tell("P");
    uint64_t number = (uint64_t)p;
    int wrong = refuses(0) + refuses(stale) + finds_nothing(stale);
    for (int bit = 0; bit < 48; bit++) {
        void *flipped = (void *)(number ^ (uint64_t)1 << bit);
        if (flipped != q) wrong += refuses(flipped) + finds_nothing(flipped);
    }
    // Only the names of ours take anything: what cannot be ours goes to the system under the plain names.
    void *any[] = {(void *)1, (void *)2, (void *)0x1234, &any, &number, (void *)main, (void *)-3, (void *)(number << 1), (void *)~number};
    for (int at = 0; at < 9; at++)
        wrong += bad(__orc_rt_jit_dlclose(any[at]) != 0) + bad(__orc_rt_jit_dlupdate(any[at]) != 0) + bad(!__orc_rt_jit_dlsym(any[at], "p"));
    printf("refused and told: %s\n", wrong ? "not all" : "all");
    pthread_t thread;
    pthread_create(&thread, 0, elsewhere, stale);
    pthread_join(thread, 0);
    printf("%d %d\n", ((int (*)(void))__orc_rt_jit_dlsym(p, "p"))(), ((int (*)(void))__orc_rt_jit_dlsym(q, "q"))());
    __orc_rt_jit_dlclose(p);
    printf("over-closed: %s\n", refuses(p) ? "not all" : "all");
    return 0;
}
