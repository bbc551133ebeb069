// What was GLOBAL and is closed is not found any more by RTLD_DEFAULT, nor by what is linked later. (In glibc a successful lookup holds the library for good.)
//#Rule: 18 27 28
//#Dylib: P p.c
//#Dylib: Q q.c
//#Dylib: USER user.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: name: P
//#ExpectStdout: fini P
//#ExpectStdout: name: Q
//#ExpectStdout: USER has Q
//#ExpectStdout: fini Q
//#ExpectStdout: name: not found
//#ExpectStdout: again, USER is not linked: 1
#include "open.h"
static void ask(const char *name) {
    const char *(*found)(void) = (const char *(*)(void))__orc_rt_jit_dlsym(RTLD_DEFAULT, name);
    printf("%s: %s\n", name, found ? found() : "not found");
}
int main(void) {
    void *p = __orc_rt_jit_dlopen("P", RTLD_NOW | RTLD_GLOBAL), *q = __orc_rt_jit_dlopen("Q", RTLD_NOW | RTLD_GLOBAL);
    ask("name");
    __orc_rt_jit_dlclose(p);
    ask("name");
    void *user = open_or_tell("USER");
    ((void (*)(void))__orc_rt_jit_dlsym(user, "use"))();
    __orc_rt_jit_dlclose(user);
    __orc_rt_jit_dlclose(q);
    ask("name");
    printf("again, USER is not linked: %d\n", !__orc_rt_jit_dlopen("USER", RTLD_NOW));
    return 0;
}
