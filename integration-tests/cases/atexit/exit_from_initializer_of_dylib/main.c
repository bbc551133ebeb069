// exit() from an initializer that a dlopen runs: handlers of every dylib, the newest first, then the finalizers of what was initialized. Its own
// initializers did not complete, so its finalizers have nothing to undo. (glibc runs them all the same.)
//#Rule: 19 20
//#Dylib: P p.c needs Q
//#Dylib: Q q.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#Exit: 3
//#ExpectStdout: init Q
//#ExpectStdout: init P exits
//#ExpectStdout: handler of P
//#ExpectStdout: handler of main
//#ExpectStdout: fini Q
//#ExpectStdout: fini main
#include "open.h"
#include <stdlib.h>
static void handler(void) { puts("handler of main"); }
__attribute__((destructor)) static void fini(void) { puts("fini main"); }
int main(void) {
    atexit(handler);
    open_or_tell("P");
    puts("not reached");
    return 1;
}
