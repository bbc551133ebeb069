#include "open.h"
#include <pthread.h>
static pthread_t thread;
static volatile int count, stop;
static void *work(void *unused) {
    while (!stop) {
        void *q = open_or_tell("Q");
        if (!q) break;
        int (*one)(void) = (int (*)(void))__orc_rt_jit_dlsym(q, "one");
        count += one();
        __orc_rt_jit_dlclose(q);
    }
    return unused;
}
int rounds(void) { return count; }
__attribute__((constructor)) static void init(void) { pthread_create(&thread, 0, work, 0); }
__attribute__((destructor)) static void fini(void) {
    stop = 1;
    pthread_join(thread, 0);
    printf("the thread has ended: %d\n", count >= 20);
}
