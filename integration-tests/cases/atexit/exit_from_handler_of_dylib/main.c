// exit() from a handler that a dlclose runs.
//#Rule: 19 20
//#Dylib: P p.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#Exit: 5
//#ExpectStdout: init P
//#ExpectStdout: newer handler of P exits
//#ExpectStdout: handler of main
//#ExpectStdout: older handler of P
//#ExpectStdout: fini P
//#ExpectStdout: fini main
#include "open.h"
#include <stdlib.h>
static void handler(void) { puts("handler of main"); }
__attribute__((destructor)) static void fini(void) { puts("fini main"); }
int main(void) {
    void *p = open_or_tell("P");
    ((void (*)(void))__orc_rt_jit_dlsym(p, "work"))();
    atexit(handler);
    __orc_rt_jit_dlclose(p);
    puts("not reached");
    return 1;
}
