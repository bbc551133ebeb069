#include "shared.h"
static __attribute__((noinline)) int own_d(int x) {
    std::string keep("own");
    return through<1>(x) + through<2>(x) + (int)keep.size();
}
int d(int x) { return own_d(x) + 1; }
