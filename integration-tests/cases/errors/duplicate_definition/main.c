// Two strong definitions: the error names the symbol and both objects.
//#ExpectError: twice_defined
//#ExpectError: one.o
//#ExpectError: two.o
#include <stdio.h>
int twice_defined(void);
int main(void) {
    puts("ran");
    return twice_defined();
}
