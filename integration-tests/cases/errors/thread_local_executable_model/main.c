// The same with the local-exec model of non-PIC code.
//#Pic: nopic
//#ExpectError: tls_counter
//#ExpectError: main.o
//#ExpectError: local ... exec
#include <stdio.h>
__thread int tls_counter;
int main(void) {
    puts("ran");
    return tls_counter++;
}
