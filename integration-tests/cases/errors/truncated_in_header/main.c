// An object cut off inside its ELF header.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Make: cut.o = head -c 40 main.o > cut.o
//#Inputs: main.c cut.o
//#ExpectError: cut.o
//#RefuseError: panicked
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
