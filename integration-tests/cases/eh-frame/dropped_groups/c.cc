#include "shared.h"
static __attribute__((noinline)) int own_c(int x) {
    std::string keep("own");
    return through<1>(x) + through<2>(x) + (int)keep.size();
}
int c(int x) { return own_c(x) + 1; }
