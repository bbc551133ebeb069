// C++ statics in several dylibs: built and destroyed as natively, __dso_handle being each dylib's own.
//#Rule: 19
//#Dylib: B b.cc
//#Dylib: C c.cc needs B
//#Pic: pic pie
#include "say.h"
const char *c_name();
static Say here("main's");
int main() {
    std::printf("main sees %s\n", c_name());
    return 0;
}
