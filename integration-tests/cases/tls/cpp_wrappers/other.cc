#include "shared.h"
int seed() { return 30; }
thread_local std::string imported = "imported with a long enough text to be on the heap";
int other_inline() { return inline_variable; }
int *address_of_inline() { return &inline_variable; }
int *address_of_value() { return &Holder<int>::value; }
const char *local_name() {
    static thread_local std::string name = std::to_string(seed());
    name += "x";
    return name.c_str();
}
