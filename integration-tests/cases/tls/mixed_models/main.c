// One variable, and objects that reach it by every model and dialect, in one link.
//#FlagsFor: general.c -fPIC -ftls-model=global-dynamic
//#FlagsFor: descriptor.c -fPIC -ftls-model=global-dynamic -mtls-dialect=gnu2
//#FlagsFor: no_plt.c -fPIC -ftls-model=global-dynamic -fno-plt
//#FlagsFor: large.c -fPIC -ftls-model=global-dynamic -mcmodel=large
//#FlagsFor: initial.c -fPIC -ftls-model=initial-exec
//#FlagsFor: local.c -fPIE -ftls-model=local-exec
//#Pic: pie
//#Flags: -O0 | -O2 | -Os
//#Libs: -lpthread
//#NotElsewhere: its sources are compiled with a dialect of x86-64
#include <pthread.h>
#include <stdio.h>
__thread long shared = 1;
static __thread long own = 10;
long *general(void), *descriptor(void), *no_plt(void), *large(void), *initial(void), *local(void);
static void *look(void *who) {
    long *(*const all[])(void) = {general, descriptor, no_plt, large, initial, local};
    int same = 0;
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) same += all[i]() == &shared;
    printf("%s: %d %ld %ld\n", (char *)who, same, shared++, own++);
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
