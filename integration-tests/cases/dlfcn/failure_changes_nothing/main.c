// An open that fails says the same each time, changes no count and runs nothing, however deep the cause is.
//#Rule: 14 18
//#Dylib: TOP top.c needs GOOD MIDDLE
//#Dylib: MIDDLE middle.c needs GOOD BAD
//#Dylib: BAD bad.c needs GOOD
//#Dylib: GOOD good.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: init GOOD
//#ExpectStdout: TOP fails 1, names the symbol 1
//#ExpectStdout: TOP fails 1, same words 1
//#ExpectStdout: TOP fails 1, same words 1
//#ExpectStdout: MIDDLE fails 1
//#ExpectStdout: not loaded 1 1 1
//#ExpectStdout: closing GOOD
//#ExpectStdout: fini GOOD
//#ExpectStdout: closed 0
#include "open.h"
#include <string.h>
int main(void) {
    char first[4096] = "";
    void *good = open_or_tell("GOOD");
    for (int round = 0; round < 3; round++) {
        int failed = __orc_rt_jit_dlopen("TOP", RTLD_NOW) == 0;
        const char *error = __orc_rt_jit_dlerror();
        if (round == 0) {
            printf("TOP fails %d, names the symbol %d\n", failed, error && strstr(error, "nobody_defines_this") != 0);
            strncpy(first, error ? error : "", sizeof first - 1);
        } else {
            printf("TOP fails %d, same words %d\n", failed, error && !strcmp(first, error));
        }
    }
    printf("MIDDLE fails %d\n", __orc_rt_jit_dlopen("MIDDLE", RTLD_NOW) == 0);
    void *top = __orc_rt_jit_dlopen("TOP", RTLD_NOW | RTLD_NOLOAD), *middle = __orc_rt_jit_dlopen("MIDDLE", RTLD_NOW | RTLD_NOLOAD),
         *bad = __orc_rt_jit_dlopen("BAD", RTLD_NOW | RTLD_NOLOAD);
    printf("not loaded %d %d %d\n", !top, !middle, !bad);
    puts("closing GOOD");
    printf("closed %d\n", __orc_rt_jit_dlclose(good));
    return 0;
}
