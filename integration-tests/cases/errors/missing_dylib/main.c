// --needs names a dylib that does not exist.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Needs: Nowhere
//#ExpectError: Nowhere
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
