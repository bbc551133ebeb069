// An 8-bit field that overflows by one.
//#Pic: nopic
//#Compiler: gcc
//#ExpectError: value_256
//#ExpectError: narrow.o
#include <stdio.h>
extern char narrow;
int main(void) {
    puts("ran");
    return narrow;
}
