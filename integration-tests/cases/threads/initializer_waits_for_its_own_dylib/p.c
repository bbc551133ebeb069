#include "open.h"
#include <pthread.h>
static void *work(void *unused) {
    printf("DONE %d\n", open_or_tell("DONE") != 0);
    printf("BESIDE %d\n", open_or_tell("BESIDE") != 0);
    return unused;
}
__attribute__((constructor)) static void init(void) {
    puts("init P begins");
    pthread_t thread;
    pthread_create(&thread, 0, work, 0);
    pthread_join(thread, 0);
    puts("init P ends");
}
__attribute__((destructor)) static void fini(void) { puts("fini P"); }
