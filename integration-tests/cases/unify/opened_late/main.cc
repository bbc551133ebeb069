// The same for what is opened by hand: a dylib and what it links against agree when they come together; main has none of these definitions.
//#Rule: 30
//#Dylib: P p.cc needs Q
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
