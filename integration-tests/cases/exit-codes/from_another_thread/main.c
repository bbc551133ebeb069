// exit() from a thread that is not main's.
//#Exit: 11
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static void handler(void) { puts("handler"); }
static void *run(void *unused) {
    (void)unused;
    puts("thread");
    exit(11);
}
int main(void) {
    atexit(handler);
    pthread_t thread;
    pthread_create(&thread, 0, run, 0);
    pthread_join(thread, 0);
    return 1;
}
