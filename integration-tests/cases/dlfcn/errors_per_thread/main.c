// dlerror belongs to the thread, tells once, and is left alone by success (glibc forgets it then).
//#Rule: 17
//#Dylib: P p.c
//#Needs: none
//#ExpectStdout: 1
//#ExpectStdout: 1
//#ExpectStdout: other thread: 1
//#ExpectStdout: 1
//#ExpectStdout: 1 1
#include "open.h"
#include <pthread.h>

static void *other(void *unused) {
    (void)unused;
    printf("other thread: %d\n", __orc_rt_jit_dlerror() == 0);
    return 0;
}
int main(void) {
    printf("%d\n", __orc_rt_jit_dlerror() == 0);
    void *p = open_or_tell("P");
    printf("%d\n", __orc_rt_jit_dlsym(p, "absent_symbol") == 0);
    pthread_t thread;
    pthread_create(&thread, 0, other, 0);
    pthread_join(thread, 0);
    printf("%d\n", __orc_rt_jit_dlsym(p, "present") != 0);
    const char *error = __orc_rt_jit_dlerror();
    printf("%d %d\n", error ? 1 : 0, __orc_rt_jit_dlerror() == 0);
    return 0;
}
