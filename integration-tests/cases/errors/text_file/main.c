// C source where an object should be: the error says that it is text.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Make: source.o = echo "int main(void) { return 0; }" > source.o
//#Inputs: main.c source.o
//#ExpectError: source.o ... text
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
