// What dlsym finds: functions, data, a thread-local variable's place in the thread that asks, an alias, a weak definition; not what is hidden, static or only
// referred to. A weak undefined symbol that nobody defines is null in the code that names it.
//#Rule: 27
//#Dylib: P p.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
#include "open.h"
#include <pthread.h>
static void *p;
static void *other(void *mine) {
    int *place = (int *)__orc_rt_jit_dlsym(p, "each_thread");
    printf("another thread: another place %d, %d\n", place != mine, place ? *place : -1);
    return 0;
}
int main(void) {
    p = open_or_tell("P");
    static const char *const names[] = {"function", "data", "each_thread", "alias", "weak_one", "hidden", "fixed", "referred", "absent"};
    for (int at = 0; at < 9; at++) {
        void *found = __orc_rt_jit_dlsym(p, names[at]);
        printf("%s: %d, error %d\n", names[at], found != 0, __orc_rt_jit_dlerror() != 0);
    }
    printf("an alias is the same: %d\n", __orc_rt_jit_dlsym(p, "alias") == __orc_rt_jit_dlsym(p, "function"));
    printf("nobody's is null: %d\n", ((int (*)(void))__orc_rt_jit_dlsym(p, "is_null"))());
    int *mine = (int *)__orc_rt_jit_dlsym(p, "each_thread");
    *mine = 8;
    printf("P sees %d\n", ((int (*)(void))__orc_rt_jit_dlsym(p, "of_this_thread"))());
    pthread_t thread;
    pthread_create(&thread, 0, other, mine);
    pthread_join(thread, 0);
    return 0;
}
