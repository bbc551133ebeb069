#include "open.h"
static void clean(void **unused) { (void)unused, puts("cleanup in P"); }
__attribute__((constructor)) static void init(void) {
    __attribute__((cleanup(clean))) void *handle = 0;
    puts("init P");
    handle = open_or_tell("Q");
    puts("not reached");
}
