// A dylib that is opened GLOBAL lends its definitions to those that are opened after it.
//#Rule: 28 30
//#Dylib: P p.cc
//#Dylib: Q q.cc
//#Needs: none
//#Flags: -O1
//#Pic: pic

#include "open.h"
#include "unified_opened.h"
int main() {
    void *p = __orc_rt_jit_dlopen("P", RTLD_NOW | RTLD_GLOBAL);
    void *q = open_or_tell("Q");
    compare(p, q);
    return 0;
}
