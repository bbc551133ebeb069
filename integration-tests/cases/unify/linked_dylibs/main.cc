// typeid, vtables, inline variables, statics of templates, of inline functions and of template functions, inline functions: each is one across main and the
// dylibs that it is linked against; casts and catches by type work across them.
//#Rule: 30
//#Dylib: B b.cc needs C
//#Dylib: C c.cc
//#Flags: -O1
//#Pic: pic
#include "unified.h"
#include <stdio.h>
extern "C" Places places_of_b(), places_of_c();
extern "C" Shape *make_b(), *make_c();
extern "C" int sides_b(Shape *), sides_c(Shape *), catch_b(void (*)(int)), catch_c(void (*)(int));
extern "C" void throw_b(int), throw_c(int);
int main() {
    printf("%d %d\n", same(places(), places_of_b()), same(places_of_b(), places_of_c()));
    Shape *b = make_b(), *c = make_c();
    printf("%d %d %d\n", sides_b(c), sides_c(b), dynamic_cast<Square *>(c) != nullptr);
    printf("%d %d\n", catch_b(throw_c), catch_c(throw_b));
    *const_cast<int *>((const int *)places_of_c().local) = 9;
    printf("%d\n", function_static());
    return 0;
}
