// Every unresolved symbol is listed, demangled, with those who refer to it.
//#ExpectError: shop::Basket::add(int, char const*)
//#ExpectError: shop::Basket::~Basket()
//#ExpectError: missing_c_function
//#ExpectError: other.o
//#ExpectError: main.o
//#Pic: pic nopic
#include "basket.h"
#include <cstdio>
extern "C" int missing_c_function(int);
int other();
int main() {
    std::puts("ran");
    return missing_c_function(other());
}
