// __start_X and __stop_X span the sections X of all objects, in the order of the objects, members of archives among them.
//#Archive: libset.a c.c
#include "set.h"
#include <stdio.h>
extern const struct entry *const __start_commands[], *const __stop_commands[];
ENTRY(main_one, 1)
ENTRY(main_two, 2)
int pull_c(void);
int main(void) {
    for (const struct entry *const *p = __start_commands; p < __stop_commands; p++) printf("%s %d\n", (*p)->name, (*p)->value);
    return pull_c();
}
