// The same where gcc makes the symbols STB_GNU_UNIQUE: the option takes these in. (-Bsymbolic does not, -fno-gnu-unique is needed besides.)
//#Rule: 30
//#Compiler: gcc
//#Dylib: B b.cc
//#Dylib: C c.cc
//#OptionsFor: B --own-definitions = -Wl,-Bsymbolic
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: B 0, C 127
//#ExpectStdout: 4 4
//#ExpectStdout: 5
//#ExpectStdout: 1
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
