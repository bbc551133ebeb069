// Thread-local variables are not linked yet: one clear error names symbol, model and object.
//#Pic: pic
//#ExpectError: tls_counter
//#ExpectError: main.o
//#ExpectError: general ... dynamic
#include <stdio.h>
__thread int tls_counter;
int main(void) {
    puts("ran");
    return tls_counter++;
}
