// Weak __start_X of a section that no object has is null.
#include <stdio.h>
extern const char __start_nobody[] __attribute__((weak)), __stop_nobody[] __attribute__((weak));
int main(void) {
    const char *volatile start = __start_nobody, *volatile stop = __stop_nobody;
    printf("%d %d\n", start == 0, stop == 0);
    return 0;
}
