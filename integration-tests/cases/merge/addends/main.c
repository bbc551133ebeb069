// References into merged sections by section symbol and addend, before, inside and past an entry's start.
#include <stdio.h>
extern const char *const table[6];
const char *by_code(void), *inside(void);
int main(void) {
    for (int i = 0; i < 6; i++) printf("%s|", table[i]);
    printf("%s|%s\n", by_code(), inside());
    return 0;
}
