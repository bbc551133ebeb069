// An .eh_frame record that is longer than its section: the object and section are told.
//#NotLazy: damage in what is never called is never met
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#ExpectError: broken.o
//#ExpectError: .eh_frame
//#RefuseError: panicked
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
