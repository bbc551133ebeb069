// Who owns a shared definition is closed before who borrowed it: what was lent stays where it is, with its value, until the borrower goes; opened again, the
// owner has new ones. (glibc keeps the whole library instead, and runs no finalizer.)
//#Rule: 19 30
//#Dylib: P p.cc needs Q
//#Dylib: Q q.cc
//#Needs: none
//#Compiler: clang
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: together 1
//#ExpectStdout: fini P
//#ExpectStdout: Q still sees 77
//#ExpectStdout: own 1, new 1
//#ExpectStdout: fini P
//#ExpectStdout: fini Q

#include "open.h"
#include "unified_opened.h"
int main() {
    void *p = open_or_tell("P"), *q = open_or_tell("Q");
    int *value = const_cast<int *>((const int *)get<GetPlaces>(q, "places_of_q")().local);
    printf("together %d\n", get<GetPlaces>(p, "places_of_p")().local == value);
    *value = 77;
    __orc_rt_jit_dlclose(p);
    printf("Q still sees %d\n", *(const int *)get<GetPlaces>(q, "places_of_q")().local);
    p = open_or_tell("P");
    const int *now = (const int *)get<GetPlaces>(p, "places_of_p")().local;
    printf("own %d, new %d\n", now != value, *now);
    return 0;
}
