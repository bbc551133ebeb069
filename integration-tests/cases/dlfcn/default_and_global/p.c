#include "open.h"
const char *in_p(void) { return "P"; }
static void ask(const char *name) {
    const char *(*found)(void) = (const char *(*)(void))dlsym(RTLD_DEFAULT, name);
    printf("from P, %s: %s\n", name, found ? found() : "not found");
}
void ask_from_p(void) { ask("in_p"), ask("in_q_and_g"), ask("in_main"); }
