// The same when a dylib is closed: its handlers and finalizers register others, and all run before the close returns. Main's stay for the end.
//#Rule: 19 20
//#Dylib: P p.cc
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: opened
//#ExpectStdout: handler after init
//#ExpectStdout: of the handler
//#ExpectStdout: finalizer
//#ExpectStdout: of the finalizer
//#ExpectStdout: static object
//#ExpectStdout: of the static object
//#ExpectStdout: handler of init
//#ExpectStdout: closed 0
//#ExpectStdout: handler of main
#include "open.h"
#include <stdlib.h>
int main() {
    atexit([] { puts("handler of main"); });
    void *p = open_or_tell("P");
    ((void (*)())__orc_rt_jit_dlsym(p, "work"))();
    puts("opened");
    printf("closed %d\n", __orc_rt_jit_dlclose(p));
    return 0;
}
