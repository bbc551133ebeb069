// A dylib is closed while three threads have objects of it. Each destroys its own when it ends, in the dylib's code, which stays until the last one; before, it
// cannot be opened again; afterwards all is new. A finalizer has run by then. (glibc does not close a library that has such objects.)
//#Rule: 21 22 24
//#Dylib: B b.cc
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: made 3, initialized at 1
//#ExpectStdout: fini B
//#ExpectStdout: closed 0
//#ExpectStdout: 1 ended: destroyed 1, back 0
//#ExpectStdout: 2 ended: destroyed 2, back 0
//#ExpectStdout: 3 ended: destroyed 3
//#ExpectStdout: made 1, initialized at 1
//#ExpectStdout: fini B
//#ExpectStdout: closed 0
#include "open.h"
#include <pthread.h>
enum { THREADS = 3 };
extern "C" int destroyed;
int destroyed;
static pthread_barrier_t barrier;
static int (*use)(int *);
static void *work(void *may_end) {
    use(&destroyed);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait((pthread_barrier_t *)may_end);
    return nullptr;
}
int main() {
    void *b = open_or_tell("B");
    use = (int (*)(int *))__orc_rt_jit_dlsym(b, "use");
    int *made = (int *)__orc_rt_jit_dlsym(b, "made"), *start = (int *)__orc_rt_jit_dlsym(b, "start");
    pthread_t threads[THREADS];
    pthread_barrier_t may_end[THREADS];
    pthread_barrier_init(&barrier, nullptr, THREADS + 1);
    for (int at = 0; at < THREADS; at++) {
        pthread_barrier_init(&may_end[at], nullptr, 2);
        pthread_create(&threads[at], nullptr, work, &may_end[at]);
    }
    pthread_barrier_wait(&barrier);
    printf("made %d, initialized at %d\n", *made, *start);
    int closed = __orc_rt_jit_dlclose(b);
    printf("closed %d\n", closed);
    for (int at = 0; at < THREADS; at++) {
        pthread_barrier_wait(&may_end[at]);
        pthread_join(threads[at], nullptr);
        printf("%d ended: destroyed %d", at + 1, destroyed);
        if (at + 1 < THREADS) printf(", back %d", __orc_rt_jit_dlopen("B", RTLD_NOW) != nullptr);
        puts("");
    }
    b = open_or_tell("B");
    ((int (*)(int *))__orc_rt_jit_dlsym(b, "use"))(&destroyed);
    printf("made %d, initialized at %d\n", *(int *)__orc_rt_jit_dlsym(b, "made"), *(int *)__orc_rt_jit_dlsym(b, "start"));
    closed = __orc_rt_jit_dlclose(b);
    printf("closed %d\n", closed);
    return 0;
}
