// The same from an initializer of main, before main starts; what it opened is closed at exit.
//#Rule: 8 19
//#Dylib: Q q.c
//#Needs: none
#include "open.h"
static void *q;
__attribute__((constructor)) static void init(void) {
    puts("init main begins");
    q = open_or_tell("Q");
    puts("init main ends");
}
int main(void) {
    int (*answer)(void) = (int (*)(void))__orc_rt_jit_dlsym(q, "answer");
    printf("main %d\n", answer());
    return 0;
}
