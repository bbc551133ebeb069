#include <stdio.h>
#include <stdlib.h>
static void first(void) { puts("first handler of P"); }
static void second(void) { puts("second handler of P"); }
__attribute__((constructor)) static void init(void) {
    puts("init P");
    atexit(first);
}
void work(void) {
    puts("work of P");
    atexit(second);
}
