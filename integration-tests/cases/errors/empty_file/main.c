// An empty file.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Make: empty.o = : > empty.o
//#Inputs: main.c empty.o
//#ExpectError: empty.o ... empty
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
