// Inline functions, templates, their statics and inline variables exist once, whichever unit one asks.
//#Pic: pic nopic
#include "shared.h"
#include <cstdio>
const void *function_of_a(), *variable_of_a(), *static_of_a(), *type_of_a();
int main() {
    std::printf("%d %d %d %d\n", function_of_a() == (const void *)&twice<int>, variable_of_a() == &counter, static_of_a() == &slot(), type_of_a() == &typeid(Shape));
    int before = slot();
    slot() += 5;
    std::printf("%d %d\n", before, twice(21));
    return 0;
}
