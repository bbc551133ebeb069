// Equal literals of different objects become one; offsets into them stay right.
//#NotLazy: strings of what is linked at different times are not merged
//#Flags: -O1 | -O2
#include <stdio.h>
#include <wchar.h>
const char *a_text(void), *a_tail(void);
const wchar_t *a_wide(void);
const char *b_text(void), *b_tail(void);
const wchar_t *b_wide(void);
int main(void) {
    printf("%d %d\n", a_text() == b_text(), a_wide() == b_wide());
    printf("%s|%s|%s|%s|%ls|%ls\n", a_text(), b_text(), a_tail(), b_tail(), a_wide(), b_wide());
    return 0;
}
