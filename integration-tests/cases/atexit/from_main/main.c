// Handlers that main registers run when it returns, newest first; one that a handler registers runs before the older ones.
//#Rule: 19 20
#include <stdio.h>
#include <stdlib.h>
static void one(void) { puts("one"); }
static void nested(void) { puts("nested"); }
static void two(void) {
    puts("two");
    atexit(nested);
}
static void three(void) { puts("three"); }
int main(void) {
    atexit(one);
    atexit(two);
    atexit(three);
    printf("main, in the buffer");
    return 42;
}
//#Exit: 42
