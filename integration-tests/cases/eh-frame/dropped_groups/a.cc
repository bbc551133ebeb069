#include "shared.h"
static __attribute__((noinline)) int own_a(int x) {
    std::string keep("own");
    return through<1>(x) + through<2>(x) + (int)keep.size();
}
int a(int x) { return own_a(x) + 1; }
