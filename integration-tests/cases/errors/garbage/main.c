// Bytes that are no file format.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Make: noise.o = printf "\\377\\001\\002\\003\\376\\375\\374\\373\\000\\000\\000\\200\\377\\377" > noise.o
//#Inputs: main.c noise.o
//#ExpectError: noise.o
//#RefuseError: panicked
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
