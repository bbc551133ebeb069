// An open that cannot be linked runs nothing, changes nothing, tells the symbol, and fails again in the same way; others still open.
//#Rule: 14
//#Dylib: BAD bad.c needs GOOD
//#Dylib: GOOD good.c
//#Needs: none
//#ExpectStdout: refused 1, told 1
//#ExpectStdout: refused 1, told 1
//#ExpectStdout: init GOOD
//#ExpectStdout: GOOD opens 1
//#ExpectStdout: fini GOOD
//#ExpectStdout: refused 1, told 1
#include "open.h"
#include <string.h>
static void refused(void) {
    void *bad = __orc_rt_jit_dlopen("BAD", RTLD_NOW);
    const char *error = __orc_rt_jit_dlerror();
    printf("refused %d, told %d\n", bad == 0, error && strstr(error, "nobody_defines_this") != 0);
}
int main(void) {
    refused();
    refused();
    void *good = open_or_tell("GOOD");
    printf("GOOD opens %d\n", good != 0);
    __orc_rt_jit_dlclose(good);
    refused();
    return 0;
}
