// A thread that an initializer started calls exit() while main waits: handlers and finalizers run on it, its code is the program's.
//#Rule: 20
//#Dylib: P p.c
//#Flags: -O1
//#Pic: pic
//#Exit: 6
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
extern pthread_t exits;
extern volatile int go;
static void handler(void) { printf("handler on that thread: %d\n", pthread_equal(exits, pthread_self()) != 0); }
__attribute__((destructor)) static void fini(void) { puts("fini main"); }
int main(void) {
    atexit(handler);
    go = 1;
    for (;;) pause();
}
