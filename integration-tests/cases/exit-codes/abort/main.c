// abort ends the program with SIGABRT: 128+6, and no handler runs.
//#Exit: 134
#include <stdio.h>
#include <stdlib.h>
static void handler(void) { puts("handler"); }
int main(void) {
    atexit(handler);
    puts("main");
    fflush(0);
    abort();
}
