// A folder where an object should be.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Make: folder.o = mkdir folder.o
//#Inputs: main.c folder.o
//#ExpectError: folder.o ... directory
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
