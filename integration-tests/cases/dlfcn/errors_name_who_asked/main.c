// A failed lookup names the symbol, where it was looked for, and the dylib whose code asked, which need not be the one that main is in.
//#Rule: 17
//#Dylib: P p.c needs Q
//#Dylib: Q q.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: main asks: 1 1 1
//#ExpectStdout: P asks: 1 1 1
//#ExpectStdout: P asks by default: 1 1
//#ExpectStdout: each thread its own: 1 1
#include "open.h"
#include <pthread.h>
#include <string.h>
static int has(const char *error, const char *word) { return error && strstr(error, word) != 0; }
static void *other(void *p) {
    __orc_rt_jit_dlsym(p, "of_the_other");
    return (void *)(long)has(__orc_rt_jit_dlerror(), "of_the_other");
}
int main(void) {
    void *p = open_or_tell("P"), *own = 0;
    __orc_rt_jit_dlsym(p, "lost");
    const char *error = __orc_rt_jit_dlerror();
    printf("main asks: %d %d %d\n", has(error, "lost"), has(error, "JITDylib P "), has(error, "asked for by JITDylib main"));
    void (*ask)(void *) = (void (*)(void *))__orc_rt_jit_dlsym(p, "ask");
    ask(__orc_rt_jit_dlopen("Q", RTLD_NOW));
    error = __orc_rt_jit_dlerror();
    printf("P asks: %d %d %d\n", has(error, "missing_in_q"), has(error, "JITDylib Q "), has(error, "asked for by JITDylib P"));
    ask(RTLD_DEFAULT);
    error = __orc_rt_jit_dlerror();
    printf("P asks by default: %d %d\n", has(error, "missing_in_q"), has(error, "JITDylib P"));
    pthread_t thread;
    __orc_rt_jit_dlsym(p, "of_main");
    pthread_create(&thread, 0, other, p);
    pthread_join(thread, &own);
    printf("each thread its own: %d %d\n", own != 0, has(__orc_rt_jit_dlerror(), "of_main"));
    return 0;
}
