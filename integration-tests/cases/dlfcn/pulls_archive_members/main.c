// dlsym pulls members out of a dylib's archives; dlupdate runs the initializers that came with them.
//#Rule: 25 27
//#Archive: libp.a one.c two.c
//#Dylib: P base.c libp.a
//#Needs: none
//#ExpectStdout: base 1
//#ExpectStdout: one 11
//#ExpectStdout: update 0
//#ExpectStdout: two: 1
#include "open.h"
static int call(void *handle, const char *name) {
    int (*f)(void) = (int (*)(void))__orc_rt_jit_dlsym(handle, name);
    return f ? f() : -1;
}
int main(void) {
    void *p = open_or_tell("P");
    printf("base %d\n", call(p, "base"));
    printf("one %d\n", call(p, "one"));
    printf("update %d\n", __orc_rt_jit_dlupdate(p));
    printf("two: %d\n", call(p, "two") >= 22);
    return 0;
}
