// What COMDAT unifies inside a dylib is unified across dylibs by weak lookup, in link order.
//#Rule: 30
//#Dylib: B b.cc
//#Pic: pic pie
#include "shared.h"
#include <cstdio>
int *b_slot();
int main() {
    std::printf("%d\n", &slot() == b_slot());
    *b_slot() = 9;
    std::printf("%d\n", slot());
    return 0;
}
