// Initializers run on the thread that opens, finalizers on the one that closes, and threads may do either.
//#Rule: 11
//#Dylib: P p.c
//#Needs: none
#include "open.h"
#include <pthread.h>
static void *opener(void *out) {
    void *p = open_or_tell("P");
    pthread_t (*where)(void) = (pthread_t(*)(void))__orc_rt_jit_dlsym(p, "where");
    printf("on the opening thread: %d\n", pthread_equal(where(), pthread_self()) != 0);
    *(void **)out = p;
    return 0;
}
int main(void) {
    void *p = 0;
    pthread_t thread;
    pthread_create(&thread, 0, opener, &p);
    pthread_join(thread, 0);
    pthread_t (*where)(void) = (pthread_t(*)(void))__orc_rt_jit_dlsym(p, "where");
    printf("on main's thread: %d\n", pthread_equal(where(), pthread_self()) != 0);
    printf("%d\n", __orc_rt_jit_dlclose(p));
    return 0;
}
