#include "open.h"
#include <pthread.h>
static void *work(void *unused) {
    void *q = open_or_tell("Q");
    int (*answer)(void) = (int (*)(void))__orc_rt_jit_dlsym(q, "answer");
    printf("answer %d\n", answer ? answer() : -1);
    __orc_rt_jit_dlclose(q);
    return unused;
}
static void work_elsewhere(void) {
    pthread_t thread;
    pthread_create(&thread, 0, work, 0);
    pthread_join(thread, 0);
}
__attribute__((constructor)) static void init(void) {
    puts("init P begins");
    work_elsewhere();
    puts("init P ends");
}
__attribute__((destructor)) static void fini(void) {
    puts("fini P begins");
    work_elsewhere();
    puts("fini P ends");
}
