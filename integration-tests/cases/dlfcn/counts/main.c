// Opens minus closes is the count; the handle stays the same; at zero finalizers run; a dependency lives while a dependant does.
//#Rule: 18
//#Dylib: P p.c needs Q
//#Dylib: Q q.c
//#Needs: none
#include "open.h"
int main(void) {
    void *p = open_or_tell("P"), *again = open_or_tell("P"), *q = open_or_tell("Q");
    printf("same %d\n", p == again);
    printf("%d\n", __orc_rt_jit_dlclose(p));
    puts("one open of P left");
    printf("%d\n", __orc_rt_jit_dlclose(q));
    puts("Q lives by P");
    printf("%d\n", __orc_rt_jit_dlclose(p));
    puts("both closed");
    printf("no handle without loading: %d\n", __orc_rt_jit_dlopen("P", RTLD_NOW | RTLD_NOLOAD) == 0);
    return 0;
}
