// A null pointer: 128+11.
//#Exit: 139
#include <stdio.h>
int *volatile nowhere;
int main(void) {
    puts("main");
    fflush(0);
    *nowhere = 1;
    return 0;
}
