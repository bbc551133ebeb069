// A 32-bit object.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Make: small.o = echo "int f(void) { return 1; }" | clang-19 --target=i386-linux-gnu -xc -c - -o small.o
//#Inputs: main.c small.o
//#ExpectError: small.o
//#ExpectError: 32
//#RefuseError: panicked
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
