#include "types.h"
void b_throw(int n) {
    if (n == 0) throw Inline(3);
    if (n == 1) throw Keyed();
    throw Templated<int>{8};
}
