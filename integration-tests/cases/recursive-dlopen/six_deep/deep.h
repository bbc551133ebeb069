#include "open.h"
static void *next;
__attribute__((constructor)) static void init(void) {
    puts("{ " NAME);
    if (NEXT) next = open_or_tell(NEXT);
    puts("} " NAME);
}
__attribute__((destructor)) static void fini(void) {
    puts("- " NAME);
    if (next) __orc_rt_jit_dlclose(next);
}
