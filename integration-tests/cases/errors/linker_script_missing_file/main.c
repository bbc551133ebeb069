// A linker script that names a file which is not there: script and file are told.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Make: broken.so = printf "GROUP ( absent_in_script.a )" > broken.so
//#Inputs: main.c broken.so
//#ExpectError: absent_in_script.a
//#ExpectError: broken.so
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
