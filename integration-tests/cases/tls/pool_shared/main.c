// The pool is full of variables of code that could do without; code that could not gets room all the same, in old threads and new ones.
//#Dylib: B b.c
//#Dylib: C c.c
//#Needs: none
//#FlagsFor: b.c -fPIC
//#FlagsFor: c.c -fno-pic
//#Pic: nopic
//#Oracle: expected
//#ExpectStdout: 15 31
//#ExpectStdout: 15 31
//#ExpectStdout: 15 31
//#Libs: -lpthread
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
static int (*fill)(void);
static int (*use)(void);
static pthread_barrier_t barrier;
static void *early(void *unused) {
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return printf("%d %d\n", fill(), use()), unused;
}
static void *late(void *unused) { return printf("%d %d\n", fill(), use()), unused; }
int main(void) {
    pthread_t thread, other;
    pthread_barrier_init(&barrier, 0, 2);
    pthread_create(&thread, 0, early, 0);
    pthread_barrier_wait(&barrier);
    void *first = dlopen("B", RTLD_NOW), *second = dlopen("C", RTLD_NOW);
    if (!first || !second) return puts(dlerror()), 1;
    fill = (int (*)(void))dlsym(first, "fill");
    use = (int (*)(void))dlsym(second, "use");
    printf("%d %d\n", fill(), use());
    pthread_barrier_wait(&barrier);
    pthread_join(thread, 0);
    pthread_create(&other, 0, late, 0);
    pthread_join(other, 0);
    return 0;
}
