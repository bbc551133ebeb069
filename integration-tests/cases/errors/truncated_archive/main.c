// An archive cut off inside a member, which is needed.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Make: libcut.a = echo "int wanted(void) { return 1; }" | $CC -xc -c - -o w.o && ar rcs whole.a w.o && head -c 700 whole.a > libcut.a
//#Inputs: main.c libcut.a
//#ExpectError: libcut.a
//#RefuseError: panicked
#include <stdio.h>
int wanted(void);
int main(void) {
    puts("ran");
    return wanted();
}
