// A finalizer closes its own dylib again, opens it, and closes what it never opened: errors, and the unload goes on. It gives back what it did open.
//#Rule: 23
//#Dylib: P p.c needs STATE
//#Dylib: Q q.c
//#Dylib: STATE state.c
//#Needs: STATE
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: init Q
//#ExpectStdout: init P
//#ExpectStdout: closing P
//#ExpectStdout: closes itself: refused 1
//#ExpectStdout: opens itself: refused 1, told 1
//#ExpectStdout: looks itself up without loading: none 1
//#ExpectStdout: closing Q
//#ExpectStdout: fini Q
//#ExpectStdout: closed 0
//#ExpectStdout: init Q
//#ExpectStdout: init P
//#ExpectStdout: again 1
//#ExpectStdout: closes itself: refused 1
//#ExpectStdout: opens itself: refused 1, told 1
//#ExpectStdout: looks itself up without loading: none 1
//#ExpectStdout: closing Q
//#ExpectStdout: fini Q
#include "open.h"
extern void *state;
int main(void) {
    state = open_or_tell("P");
    puts("closing P");
    printf("closed %d\n", __orc_rt_jit_dlclose(state));
    state = open_or_tell("P");
    printf("again %d\n", state != 0);
    __orc_rt_jit_dlclose(state);
    return 0;
}
