#include "open.h"
__attribute__((constructor)) static void init(void) {
    puts("init Q begins");
    printf("P has a handle: %d\n", open_or_tell("P") != 0);
    puts("init Q ends");
}
__attribute__((destructor)) static void fini(void) { puts("fini Q"); }
int q(void) { return 1; }
