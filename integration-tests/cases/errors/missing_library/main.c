// A library that no folder of -L has: the error names it and says where it was looked for.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Libs: -L . -lno_such_library
//#ExpectError: no_such_library
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
