// STB_GNU_UNIQUE: one static of an inline function for the whole session, also between dylibs that do not link each other.
//#Compiler: gcc
//#Dylib: B b.cc
//#Dylib: C c.cc
//#Needs: none
//#Pic: pic
#include "orc_rt.h"
#include <cstdio>
int main() {
    void *b = __orc_rt_jit_dlopen("B", RTLD_NOW | RTLD_LOCAL), *c = __orc_rt_jit_dlopen("C", RTLD_NOW | RTLD_LOCAL);
    if (!b || !c) return std::printf("%s\n", __orc_rt_jit_dlerror()), 1;
    auto from_b = (int *(*)())__orc_rt_jit_dlsym(b, "from_b"), from_c = (int *(*)())__orc_rt_jit_dlsym(c, "from_c");
    *from_b() = 77;
    std::printf("%d %d\n", from_b() == from_c(), *from_c());
    return 0;
}
