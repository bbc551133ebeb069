// What is open already keeps its own definitions; a dependant that comes later is asked before it and has its own, but for unique symbols. Opened in the
// other order they agree.
//#Rule: 30
//#Dylib: P p.cc needs Q
//#Dylib: Q q.cc
//#Needs: none
//#Flags: -O1
//#Pic: pic

#include "open.h"
#include "unified_opened.h"
int main() {
    void *q = open_or_tell("Q");
    void *p = open_or_tell("P");
    compare(p, q);
    return 0;
}
