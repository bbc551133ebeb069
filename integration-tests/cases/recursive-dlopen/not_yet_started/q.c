#include "open.h"
__attribute__((constructor)) static void init(void) {
    puts("init Q begins");
    open_or_tell("R");
    puts("init Q ends");
}
__attribute__((destructor)) static void fini(void) { puts("fini Q"); }
