// A dylib that keeps its own definitions (--own-definitions, natively -Bsymbolic) shares none with main, while its neighbour does; casts and catches work by name.
//#Rule: 30
//#Compiler: clang
//#Dylib: B b.cc
//#Dylib: C c.cc
//#OptionsFor: B --own-definitions = -Wl,-Bsymbolic
//#Flags: -O1
//#Pic: pic
#include "unified.h"
#include <stdio.h>
extern "C" Places places_of_b(), places_of_c();
extern "C" Shape *make_b();
extern "C" int sides_b(Shape *), sides_c(Shape *), catch_c(void (*)(int));
extern "C" void throw_b(int);
int main() {
    printf("B %d, C %d\n", same(places(), places_of_b()), same(places(), places_of_c()));
    Square square;
    printf("%d %d\n", sides_b(&square), sides_c(make_b()));
    printf("%d\n", catch_c(throw_b));
    *const_cast<int *>((const int *)places_of_b().local) = 9;
    printf("%d\n", function_static());
    return 0;
}
