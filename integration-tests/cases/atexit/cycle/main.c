// A cycle of dylibs unloads as a whole, when nobody outside holds any of it, in the reverse of its initialization; then it can be opened from another
// member.
//#Rule: 18 19
//#Dylib: A a.c needs B
//#Dylib: B b.c needs C
//#Dylib: C c.c needs A
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: init C
//#ExpectStdout: init B
//#ExpectStdout: init A
//#ExpectStdout: closed 0
//#ExpectStdout: all here 1
//#ExpectStdout: fini A
//#ExpectStdout: fini B
//#ExpectStdout: fini C
//#ExpectStdout: closed 0
//#ExpectStdout: gone 1
//#ExpectStdout: init B
//#ExpectStdout: init A
//#ExpectStdout: init C
//#ExpectStdout: end
//#ExpectStdout: fini C
//#ExpectStdout: fini A
//#ExpectStdout: fini B
#include "open.h"
static int here(void) {
    int count = 0;
    for (const char *name = "ABC"; *name; name++) {
        char text[2] = {*name, 0};
        void *handle = __orc_rt_jit_dlopen(text, RTLD_NOW | RTLD_NOLOAD);
        if (handle) count++, __orc_rt_jit_dlclose(handle);
    }
    return count;
}
int main(void) {
    void *a = open_or_tell("A"), *b = open_or_tell("B");
    printf("closed %d\n", __orc_rt_jit_dlclose(a));
    printf("all here %d\n", here() == 3);
    printf("closed %d\n", __orc_rt_jit_dlclose(b));
    printf("gone %d\n", here() == 0);
    open_or_tell("C");
    puts("end");
    return 0;
}
