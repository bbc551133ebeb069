// exit() from a nested call: handlers, finalizers, buffers, and its code reaches the caller.
//#Rule: 20
//#Exit: 7
#include <stdio.h>
#include <stdlib.h>
__attribute__((destructor)) static void fini(void) { puts("fini"); }
static void handler(void) { puts("handler"); }
__attribute__((noinline)) static void down(int depth) {
    if (depth == 0) exit(256 + 7);
    down(depth - 1);
    puts("not reached");
}
int main(void) {
    atexit(handler);
    printf("main ");
    down(20);
    return 1;
}
