#include "classes.h"
int Both::value() { return Left::value() + 10; }
Root *make(int n) {
    if (n == 0) return new Root;
    if (n == 1) return new Left;
    return new Both;
}
