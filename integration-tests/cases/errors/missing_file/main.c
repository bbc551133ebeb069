// A file that is not there.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Inputs: main.c absent_file.o
//#ExpectError: absent_file.o ... no such file
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
