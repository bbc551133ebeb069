// dladdr names the dylib, the symbol and its address, for functions and data, at their starts and inside them.
//#Rule: 28
//#Dylib: P p.c
//#Needs: none
#include "open.h"
#include <string.h>
static void ask(const char *what, const void *address, const void *start, const char *file) {
    Dl_info info;
    memset(&info, 0, sizeof info);
    int found = __orc_rt_jit_dladdr(address, &info);
    const char *slash = info.dli_fname ? strrchr(info.dli_fname, '/') : 0;
    const char *name = slash ? slash + 1 : info.dli_fname;
    printf("%s: %d %s %s %d\n", what, found != 0, info.dli_sname ? info.dli_sname : "?", name && (!file || !strcmp(name, file)) ? "right file" : "wrong file", info.dli_saddr == start);
}
int main(void) {
    void *p = open_or_tell("P");
    char *function = (char *)__orc_rt_jit_dlsym(p, "function_of_p"), *table = (char *)__orc_rt_jit_dlsym(p, "table_of_p");
    ask("function", function, function, "P");
    ask("inside", function + 3, function, "P");
    ask("table", table, table, "P");
    ask("inside the table", table + 17, table, "P");
    int on_stack;
    Dl_info info;
    printf("stack: %d\n", __orc_rt_jit_dladdr(&on_stack, &info));
    return 0;
}
