// dladdr names dylib, symbol and offset also for static functions and data, in main, in dylibs, in shared libraries, and says no for everything else; after an unload, too.
// (glibc knows the names of exported symbols only.)
//#Rule: 28
//#Dylib: P p.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: static function of P: 1 static_function+0 in P
//#ExpectStdout: inside: 1 static_function+1 in P
//#ExpectStdout: static data of P: 1 static_data+0 in P
//#ExpectStdout: inside: 1 static_data+12 in P
//#ExpectStdout: thread's function: 1 exported+0 in P
//#ExpectStdout: main's own: 1 own+0 in main
//#ExpectStdout: main's data: 1 own_data+4 in main
//#ExpectStdout: puts: 1 in the C library
//#ExpectStdout: stack: 0
//#ExpectStdout: null: 0
//#ExpectStdout: after the close: 0
#include "open.h"
#include <string.h>
static int own_data[4] = {1, 2, 3, 4};
static __attribute__((noinline)) int own(int x) { return own_data[x & 3]; }
static void ask(const char *what, const void *address) {
    Dl_info info;
    memset(&info, 0, sizeof info);
    if (!dladdr(address, &info)) {
        printf("%s: 0\n", what);
        return;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    const char *file = slash ? slash + 1 : info.dli_fname;
    if (strncmp(file, "libc.so", 7) == 0) {
        printf("%s: 1 in the C library\n", what);
        return;
    }
    printf("%s: 1 %s+%ld in %s\n", what, info.dli_sname ? info.dli_sname : "?", (long)((const char *)address - (const char *)info.dli_saddr), file);
}
int main(int argc, char **argv) {
    void *p = open_or_tell("P");
    void **places = (void **)__orc_rt_jit_dlsym(p, "places");
    char *function = (char *)places[0], *data = (char *)places[1];
    ask("static function of P", function);
    ask("inside", function + 1);
    ask("static data of P", data);
    ask("inside", data + 12);
    ask("thread's function", __orc_rt_jit_dlsym(p, "exported"));
    ask("main's own", (void *)own);
    ask("main's data", (char *)own_data + 4);
    ask("puts", dlsym(RTLD_DEFAULT, "puts"));
    ask("stack", &argc);
    ask("null", 0);
    __orc_rt_jit_dlclose(p);
    ask("after the close", function);
    return own(argc) + (argv == 0) < 0;
}
