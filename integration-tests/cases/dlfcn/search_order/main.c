// dlsym(handle) searches the dylib, then its dependencies breadth-first in link order; hidden symbols are not found.
//#Rule: 27
//#Dylib: P p.c needs L R
//#Dylib: L l.c needs DEEP
//#Dylib: R r.c
//#Dylib: DEEP deep.c
//#Needs: none
#include "open.h"
static void ask(void *handle, const char *name) {
    const char *(*f)(void) = (const char *(*)(void))__orc_rt_jit_dlsym(handle, name);
    printf("%s: %s\n", name, f ? f() : "not found");
    __orc_rt_jit_dlerror();
}
int main(void) {
    void *p = open_or_tell("P");
    ask(p, "in_all");
    ask(p, "in_right_and_deep");
    ask(p, "in_deep");
    ask(p, "hidden_in_p");
    ask(p, "nowhere");
    void *l = open_or_tell("L");
    ask(l, "in_all");
    ask(l, "in_right_and_deep");
    return 0;
}
