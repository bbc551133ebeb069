// Main opens and closes itself once more than it opened: its handlers and finalizers run then, and its code stays until main has returned.
// (glibc never unloads the program.)
//#Rule: 20 23 24
//#Dylib: B b.c
//#Flags: -O1
//#Pic: pic
//#Exit: 7
//#ExpectStdout: init B
//#ExpectStdout: init main
//#ExpectStdout: same handle 1
//#ExpectStdout: first 0
//#ExpectStdout: handler
//#ExpectStdout: fini main
//#ExpectStdout: fini B
//#ExpectStdout: second 0
//#ExpectStdout: third refused 1
//#ExpectStdout: still here: 42
#include "open.h"
#include <stdlib.h>
static volatile int value = 42;
static void handler(void) { puts("handler"); }
__attribute__((constructor)) static void init(void) { puts("init main"); }
__attribute__((destructor)) static void fini(void) { puts("fini main"); }
int main(void) {
    atexit(handler);
    void *self = __orc_rt_jit_dlopen(0, RTLD_NOW), *named = __orc_rt_jit_dlopen("main", RTLD_NOW | RTLD_NOLOAD);
    printf("same handle %d\n", self == named);
    __orc_rt_jit_dlclose(named);
    printf("first %d\n", __orc_rt_jit_dlclose(self));
    printf("second %d\n", __orc_rt_jit_dlclose(self));
    printf("third refused %d\n", __orc_rt_jit_dlclose(self) != 0);
    printf("still here: %d\n", value);
    return 7;
}
