// COMDAT groups inside and beside an object that ld -r made.
//#Make: merged.o = ld -r -o merged.o a.o b.o
//#Inputs: main.cc merged.o c.cc
//#Pic: pic nopic
#include "shared.h"
#include <cstdio>
int a(), b(), c();
int main() {
    std::printf("%d %d %d %d\n", a(), b(), c(), next());
    return 0;
}
