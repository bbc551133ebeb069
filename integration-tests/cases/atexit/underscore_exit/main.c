// _exit ends the process at once: no handler, no finalizer.
//#Exit: 4
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void handler(void) { puts("handler"); }
__attribute__((destructor)) static void fini(void) { puts("fini"); }
int main(void) {
    atexit(handler);
    puts("main");
    fflush(0);
    _exit(4);
}
