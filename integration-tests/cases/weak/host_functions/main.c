// A weak reference that the process defines is not null.
#include <stdio.h>
__attribute__((weak)) int puts(const char *);
__attribute__((weak)) void no_such_function_anywhere(void);
int main(void) {
    printf("%d %d\n", puts != 0, no_such_function_anywhere != 0);
    if (puts) puts("called");
    return 0;
}
