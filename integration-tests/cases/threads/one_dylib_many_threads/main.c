// Eight threads open one dylib at once: its initializers run on one of them, and every open returns after they are complete.
//#Rule: 11
//#Dylib: P p.c needs Q
//#Dylib: Q q.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
#include "open.h"
#include <pthread.h>
enum { THREADS = 8 };
static pthread_barrier_t start;
static void *handles[THREADS];
static int complete[THREADS];
static void *opener(void *slot) {
    long at = (long)slot;
    pthread_barrier_wait(&start);
    handles[at] = open_or_tell("P");
    int *done = (int *)__orc_rt_jit_dlsym(handles[at], "done");
    complete[at] = done && *done;
    return 0;
}
int main(void) {
    pthread_t threads[THREADS];
    pthread_barrier_init(&start, 0, THREADS);
    for (long at = 0; at < THREADS; at++) pthread_create(&threads[at], 0, opener, (void *)at);
    int sum = 0, same = 0, closed = 0;
    for (int at = 0; at < THREADS; at++) pthread_join(threads[at], 0);
    for (int at = 0; at < THREADS; at++) sum += complete[at], same += handles[at] == handles[0];
    printf("complete %d, same handle %d\n", sum, same);
    for (int at = 0; at < THREADS; at++) closed += __orc_rt_jit_dlclose(handles[at]) == 0;
    printf("closed %d\n", closed);
    return 0;
}
