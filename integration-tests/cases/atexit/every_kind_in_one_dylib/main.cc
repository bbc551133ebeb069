// One dylib with thread_local objects, static ones, function-local ones, atexit, on_exit, __cxa_atexit, .fini_array with priorities and .dtors: the order in
// which a close undoes them. Objects of the closing thread go first, what was registered since the initializers next, then finalizers, then
// what initializers registered. (glibc does not run on_exit handlers at a close, and keeps a library that has thread_local objects.)
//#Rule: 19 20 21
//#Dylib: P p.cc dtors.s
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: - thread_local
//#ExpectStdout: on_exit 0
//#ExpectStdout: - local
//#ExpectStdout: atexit
//#ExpectStdout: cxa
//#ExpectStdout: dtors
//#ExpectStdout: fini
//#ExpectStdout: fini 300
//#ExpectStdout: fini 200
//#ExpectStdout: - static
//#ExpectStdout: atexit of init
//#ExpectStdout: closed 0
#include "open.h"
int main() {
    void *p = open_or_tell("P");
    ((void (*)())__orc_rt_jit_dlsym(p, "work"))();
    printf("closed %d\n", __orc_rt_jit_dlclose(p));
    return 0;
}
