// A thin archive whose member is gone.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Make: libthin.a = echo "int wanted(void) { return 1; }" | $CC -xc -c - -o gone.o && ar rcsT libthin.a gone.o && rm gone.o
//#Inputs: main.c libthin.a
//#ExpectError: gone.o
//#ExpectError: libthin.a
#include <stdio.h>
int wanted(void);
int main(void) {
    puts("ran");
    return wanted();
}
