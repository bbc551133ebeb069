// An exception leaves a finalizer through dlclose; what is left to undo is undone all the same, and the dylib is gone.
//#Rule: 15 19
//#Dylib: P p.cc needs Q
//#Dylib: Q q.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: init Q
//#ExpectStdout: newer finalizer throws
//#ExpectStdout: older finalizer
//#ExpectStdout: newer handler
//#ExpectStdout: older handler
//#ExpectStdout: fini Q
//#ExpectStdout: caught 7
//#ExpectStdout: loaded 0
//#ExpectStdout: init Q
//#ExpectStdout: again 1
#include "open.h"
#include <stdlib.h>
int main() {
    void *p = open_or_tell("P");
    try {
        __orc_rt_jit_dlclose(p);
        puts("not reached");
    } catch (int number) {
        printf("caught %d\n", number);
    }
    printf("loaded %d\n", __orc_rt_jit_dlopen("P", RTLD_NOW | RTLD_NOLOAD) != nullptr);
    printf("again %d\n", open_or_tell("P") != nullptr);
    fflush(stdout);
    _Exit(0);
}
