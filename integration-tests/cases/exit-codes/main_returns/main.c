// What main returns is taken modulo 256, also when it is negative.
//#Exit: 253
#include <stdio.h>
int main(void) {
    puts("main");
    return -3;
}
