// --needs names a dylib that does not exist: a matter of usage.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Needs: Nowhere
//#ErrorCode: 2
//#ExpectError: Nowhere
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
