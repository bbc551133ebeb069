// Code that needs a constant distance from the thread pointer, of a megabyte: there is room when the loader is told to keep some.
//#Pic: nopic
//#Env: GLIBC_TUNABLES=glibc.rtld.optional_static_tls=2097152
//#Libs: -lpthread
//#NotElsewhere: the tunable makes storage larger than the stacks of threads that the emulated executor may have
#include <pthread.h>
#include <stdio.h>
__thread char big[1 << 20] = "first";
static __thread long after = 12;
static void *look(void *who) {
    big[sizeof big - 1] += 3;
    printf("%s: %s %d %ld\n", (char *)who, big, big[sizeof big - 1], after++);
    big[0] = 'F';
    return 0;
}
int main(void) {
    look("main");
    pthread_t thread;
    pthread_create(&thread, 0, look, "thread");
    pthread_join(thread, 0);
    look("main");
    return 0;
}
