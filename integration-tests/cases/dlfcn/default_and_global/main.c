// RTLD_DEFAULT: the program and what it reaches breadth first, then what was opened GLOBAL in the order of these opens; what is LOCAL is found by its own
// code only, until NOLOAD | GLOBAL promotes it.
//#Rule: 27 28
//#Dylib: A a.c needs D
//#Dylib: B b.c
//#Dylib: D d.c
//#Dylib: P p.c needs Q
//#Dylib: Q q.c
//#Dylib: G g.c
//#Needs: A B
//#Flags: -O1
//#Pic: pic
#include "open.h"
const char *in_main(void) { return "main"; }
static void ask(const char *name) {
    const char *(*found)(void) = (const char *(*)(void))__orc_rt_jit_dlsym(RTLD_DEFAULT, name);
    printf("%s: %s\n", name, found ? found() : "not found");
}
int main(void) {
    ask("in_main"), ask("in_a_and_b"), ask("in_b_and_d"), ask("in_d"), ask("in_p"), ask("in_q_and_g"), ask("nowhere");
    void *p = __orc_rt_jit_dlopen("P", RTLD_NOW);
    void (*from_p)(void) = (void (*)(void))__orc_rt_jit_dlsym(p, "ask_from_p");
    puts("P is local");
    ask("in_p"), ask("in_q_and_g"), from_p();
    void *g = __orc_rt_jit_dlopen("G", RTLD_NOW | RTLD_GLOBAL);
    puts("G is global");
    ask("in_p"), ask("in_q_and_g");
    __orc_rt_jit_dlopen("P", RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
    puts("P is promoted");
    ask("in_p"), ask("in_q_and_g");
    (void)g;
    return 0;
}
