// exit() from an initializer: main never runs, what was registered does, nothing hangs.
//#Rule: 20
//#Exit: 5
#include <stdio.h>
#include <stdlib.h>
static void handler(void) { puts("handler"); }
__attribute__((constructor)) static void init(void) {
    atexit(handler);
    puts("init");
    exit(5);
}
int main(void) {
    puts("main");
    return 0;
}
