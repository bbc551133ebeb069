#include "open.h"
void *own;
__attribute__((constructor)) static void init(void) {
    puts("init P begins");
    own = open_or_tell("P");
    puts("init P ends");
}
__attribute__((destructor)) static void fini(void) { puts("fini P"); }
