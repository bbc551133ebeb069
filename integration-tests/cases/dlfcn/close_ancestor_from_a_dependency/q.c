#include "open.h"
__attribute__((constructor)) static void init(void) {
    puts("init Q begins");
    for (int round = 0; round < 2; round++) printf("closed %d\n", __orc_rt_jit_dlclose(open_or_tell("P")));
    puts("init Q ends");
}
__attribute__((destructor)) static void fini(void) { puts("fini Q"); }
