// An initializer joins a thread that opens the very dylib which is being initialized. The thread waits for the initializer and the initializer
// for the thread, of which no loader can know; it looks with NOLOAD instead, or opens what stands beside. Here: it opens a dependency that
// is complete, and a dependant of nobody.
//#Rule: 12 13
//#Dylib: P p.c needs DONE
//#Dylib: DONE done.c
//#Dylib: BESIDE beside.c needs DONE
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#Timeout: 30
//#ExpectStdout: init DONE
//#ExpectStdout: init P begins
//#ExpectStdout: DONE 1
//#ExpectStdout: init BESIDE
//#ExpectStdout: BESIDE 1
//#ExpectStdout: init P ends
//#ExpectStdout: fini P
//#ExpectStdout: fini BESIDE
//#ExpectStdout: fini DONE
#include "open.h"
int main(void) {
    void *p = open_or_tell("P");
    return p ? 0 : 1;
}
