#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
pthread_t exits;
volatile int go;
static void *work(void *unused) {
    while (!go) usleep(1000);
    exits = pthread_self();
    exit(6);
    return unused;
}
__attribute__((constructor)) static void init(void) {
    pthread_t thread;
    pthread_create(&thread, 0, work, 0);
    puts("init P");
}
__attribute__((destructor)) static void fini(void) { puts("fini P"); }
