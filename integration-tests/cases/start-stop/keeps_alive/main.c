// A reference to __start_X keeps the sections X of every object alive, nothing else referring to them.
//#Flags: -O1 -ffunction-sections -fdata-sections
#include <stdio.h>
extern int (*const __start_hooks[])(void), (*const __stop_hooks[])(void);
int main(void) {
    int total = 0;
    for (int (*const *hook)(void) = __start_hooks; hook < __stop_hooks; hook++) total += (*hook)();
    printf("%d of %d\n", total, (int)(__stop_hooks - __start_hooks));
    return 0;
}
