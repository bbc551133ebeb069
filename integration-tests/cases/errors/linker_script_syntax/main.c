// A linker script with a syntax error: file and line.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Make: broken.so = printf "GROUP ( libm.so\\n" > broken.so
//#Inputs: main.c broken.so
//#ExpectError: broken.so
//#RefuseError: panicked
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
