// Objects with constructors and destructors in threads that were there before the dylib and in those that came after, in static storage and in dynamic; opened
// again, nothing is left of the first time.
//#Rule: 21 22
//#Dylib: B b.cc
//#Needs: none
//#Pic: pic
//#Flags: -O0 | -O2 | -O1 -DPADDING=100000 | -O2 -DPADDING=100000 -mtls-dialect=gnu2 | -O1 -mtls-dialect=gnu2
//#Libs: -lpthread
//#Oracle: expected
//#ExpectStdout: round 0: made 3 destroyed 3, seen 24
//#ExpectStdout: round 1: made 3 destroyed 3, seen 24
//#ExpectStdout: round 2: made 3 destroyed 3, seen 24
#include <cstdio>
#include <dlfcn.h>
#include <pthread.h>
static int (*use)();
static int seen;
static void *work(void *) {
    __atomic_fetch_add(&seen, use() + use(), __ATOMIC_SEQ_CST);
    return nullptr;
}
static pthread_barrier_t opened;
static void *early(void *p) {
    pthread_barrier_wait(&opened);
    return work(p);
}
int main() {
    for (int round = 0; round < 3; round++) {
        seen = 0;
        pthread_t threads[3];
        pthread_barrier_init(&opened, nullptr, 3);
        for (int i = 0; i < 2; i++) pthread_create(&threads[i], nullptr, early, nullptr);
        void *handle = dlopen("B", RTLD_NOW);
        if (!handle) return std::puts(dlerror()), 1;
        use = (int (*)())dlsym(handle, "use");
        int *made = (int *)dlsym(handle, "made"), *destroyed = (int *)dlsym(handle, "destroyed");
        pthread_barrier_wait(&opened);
        for (int i = 0; i < 2; i++) pthread_join(threads[i], nullptr);
        pthread_create(&threads[2], nullptr, work, nullptr);
        pthread_join(threads[2], nullptr);
        std::printf("round %d: made %d destroyed %d, seen %d\n", round, *made, *destroyed, seen);
        if (dlclose(handle)) return 2;
        pthread_barrier_destroy(&opened);
    }
}
