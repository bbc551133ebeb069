#include "shared.h"
const void *function_of_a() { return (const void *)&twice<int>; }
const void *variable_of_a() { return &counter; }
const void *static_of_a() { return &slot(); }
const void *type_of_a() {
    static Shape keep;
    return &typeid(keep);
}
