#include <stdio.h>
#include <stdlib.h>
__attribute__((constructor)) static void init() {
    atexit([] { puts("older handler"); });
    atexit([] {
        puts("newer handler throws");
        throw 7;
    });
}
__attribute__((destructor)) static void older() { puts("older finalizer"); }
__attribute__((destructor)) static void newer() {
    puts("newer finalizer");
}
