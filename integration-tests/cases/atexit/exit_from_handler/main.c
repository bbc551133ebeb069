// exit() called by a handler goes on with the older handlers and takes the new code.
//#Rule: 20
//#Exit: 9
#include <stdio.h>
#include <stdlib.h>
static void older(void) { puts("older"); }
static void newer(void) {
    puts("newer");
    exit(9);
}
int main(void) {
    atexit(older);
    atexit(newer);
    return 1;
}
