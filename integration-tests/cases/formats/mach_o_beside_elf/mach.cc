#include "shared.h"
extern "C" int printf(const char *, ...);
struct Leaving {
    const char *who;
    ~Leaving() { printf("%s leaves\n", who); }
};
int of_mach(int x) {
    Leaving leaving{"mach"};
    shared_variable += 2;
    return call_back(x) * 100 + counter()++;
}
