// Two dylibs that know nothing of each other, opened LOCAL one after the other: what gcc makes STB_GNU_UNIQUE is one all the same, everything else is each
// one's own, and casts and catches still work by name.
//#Rule: 30
//#Dylib: P p.cc
//#Dylib: Q q.cc
//#Needs: none
//#Flags: -O1
//#Pic: pic

#include "open.h"
#include "unified_opened.h"
int main() {
    void *p = open_or_tell("P");
    void *q = open_or_tell("Q");
    compare(p, q);
    return 0;
}
