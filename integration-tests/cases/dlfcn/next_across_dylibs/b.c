#define _GNU_SOURCE
#include <dlfcn.h>
int only_before(void) { return 1; }
int b_before_c(void) {
    int (*own)(void) = (int (*)(void))dlsym(RTLD_NEXT, "only_before");
    int (*next)(void) = (int (*)(void))dlsym(RTLD_NEXT, "in_c");
    return (own == 0) + next();
}
