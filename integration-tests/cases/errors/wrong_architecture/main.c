// An object of another machine.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Make: arm.o = echo "int f(void) { return 1; }" | clang-19 --target=aarch64-linux-gnu -xc -c - -o arm.o
//#Inputs: main.c arm.o
//#ExpectError: arm.o ... aarch64
//#NotElsewhere: the wrong architecture is another one there
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
