// On its way out of dlopen an exception passes frames of C, whose cleanups run, and nested opens, each of whose dylibs is poisoned.
//#Rule: 15
//#Dylib: P p.c
//#Dylib: Q q.cc
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#FlagsFor: frame.c -fexceptions
//#FlagsFor: p.c -fexceptions
//#ExpectStdout: init P
//#ExpectStdout: init Q
//#ExpectStdout: cleanup in P
//#ExpectStdout: cleanup in main
//#ExpectStdout: caught by main
//#ExpectStdout: P is poisoned 1, Q is poisoned 1
#include "open.h"
#include <string.h>
extern "C" void *open_with_cleanup(const char *name);
static int is_poisoned(const char *name) {
    if (__orc_rt_jit_dlopen(name, RTLD_NOW)) return 0;
    const char *error = __orc_rt_jit_dlerror();
    return error && strstr(error, "threw") != nullptr;
}
int main() {
    try {
        open_with_cleanup("P");
    } catch (const char *text) {
        printf("caught by %s\n", text);
    }
    int p = is_poisoned("P"), q = is_poisoned("Q");
    printf("P is poisoned %d, Q is poisoned %d\n", p, q);
    return 0;
}
