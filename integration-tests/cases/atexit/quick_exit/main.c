// quick_exit runs what at_quick_exit registered (which lives in libc_nonshared.a), and nothing else.
//#Exit: 6
#include <stdio.h>
#include <stdlib.h>
static void handler(void) { puts("handler"); }
static void quick(void) {
    puts("quick");
    fflush(0);
}
int main(void) {
    atexit(handler);
    at_quick_exit(quick);
    puts("main");
    quick_exit(6);
}
