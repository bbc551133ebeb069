// Threads that run before a dylib is opened see its variables as it defines them; after a close and an open they are as new.
//#Dylib: B b.c
//#Needs: none
//#Pic: pic
//#Libs: -lpthread
//#Oracle: expected
//#ExpectStdout: thread 0: 11 12
//#ExpectStdout: main: 11 12
//#ExpectStdout: late thread: 11 12
//#ExpectStdout: thread 1: 11 12
//#ExpectStdout: main: 11 12
//#ExpectStdout: late thread: 11 12
//#ExpectStdout: thread 2: 11 12
//#ExpectStdout: main: 11 12
//#ExpectStdout: late thread: 11 12
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
static int (*next)(void);
static pthread_barrier_t barrier;
static void *early(void *unused) {
    for (int round = 0; round < 3; round++) {
        pthread_barrier_wait(&barrier);
        int first = next(), second = next();
        printf("thread %d: %d %d\n", round, first, second);
        pthread_barrier_wait(&barrier);
    }
    return unused;
}
static void *late(void *unused) {
    int first = next(), second = next();
    printf("late thread: %d %d\n", first, second);
    return unused;
}
int main(void) {
    pthread_t thread, other;
    pthread_barrier_init(&barrier, 0, 2);
    pthread_create(&thread, 0, early, 0);
    for (int round = 0; round < 3; round++) {
        void *handle = dlopen("B", RTLD_NOW);
        if (!handle) return 1;
        next = (int (*)(void))dlsym(handle, "next");
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        int first = next(), second = next();
        printf("main: %d %d\n", first, second);
        pthread_create(&other, 0, late, 0);
        pthread_join(other, 0);
        int *variable = dlsym(handle, "counter");
        if (!variable || *variable != 12) return 2;
        dlclose(handle);
    }
    pthread_join(thread, 0);
    return 0;
}
