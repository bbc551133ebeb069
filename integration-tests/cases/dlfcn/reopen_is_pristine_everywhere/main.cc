// After an unload everything of a dylib is as in its objects: .data, .bss, pointers into them, statics of functions, thread-local variables, also those
// of a thread that lives through it.
//#Rule: 22
//#Dylib: P p.cc
//#Needs: none
//#Flags: -O1
//#Pic: pic
#include "open.h"
#include <pthread.h>
static pthread_barrier_t barrier;
static int (*work)();
static void *other(void *unused) {
    for (int round = 0; round < 3; round++) {
        pthread_barrier_wait(&barrier);
        int first = work();
        printf("other thread, round %d: %d %d\n", round, first, work());
        pthread_barrier_wait(&barrier);
    }
    return unused;
}
int main() {
    pthread_t thread;
    pthread_barrier_init(&barrier, nullptr, 2);
    pthread_create(&thread, nullptr, other, nullptr);
    for (int round = 0; round < 3; round++) {
        void *p = open_or_tell("P");
        work = (int (*)())__orc_rt_jit_dlsym(p, "work");
        int first = work();
        printf("main, round %d: %d %d\n", round, first, work());
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        __orc_rt_jit_dlclose(p);
    }
    pthread_join(thread, nullptr);
    return 0;
}
