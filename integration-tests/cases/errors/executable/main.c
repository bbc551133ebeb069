// An executable where an object should be.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Make: whole.o = $CC $LINKFLAG -o whole.o main.o
//#Inputs: main.c whole.o
//#ExpectError: whole.o
//#RefuseError: panicked
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
