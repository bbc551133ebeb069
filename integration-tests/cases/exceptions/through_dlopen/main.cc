// An exception thrown by a dylib that was opened by hand reaches its caller; a failed cast inside it throws bad_cast.
//#Dylib: P p.cc
//#Needs: none
//#Pic: pic pie
#include "orc_rt.h"
#include <cstdio>
#include <typeinfo>
int main() {
    void *p = __orc_rt_jit_dlopen("P", RTLD_NOW);
    if (!p) return std::printf("no P: %s\n", __orc_rt_jit_dlerror()), 1;
    auto work = (void (*)(int))__orc_rt_jit_dlsym(p, "work");
    for (int i = 0; i < 2; i++) {
        try {
            work(i);
        } catch (int n) {
            std::printf("int %d\n", n);
        } catch (const std::bad_cast &) {
            std::puts("bad_cast");
        }
    }
    std::printf("%d\n", __orc_rt_jit_dlclose(p));
    return 0;
}
