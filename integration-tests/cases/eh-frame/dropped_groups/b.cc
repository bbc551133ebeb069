#include "shared.h"
static __attribute__((noinline)) int own_b(int x) {
    std::string keep("own");
    return through<1>(x) + through<2>(x) + (int)keep.size();
}
int b(int x) { return own_b(x) + 1; }
