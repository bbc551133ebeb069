// A definition beats a common symbol, wherever it stands.
//#Flags: -O0 -fcommon | -O2 -fcommon
#include <stdio.h>
int defined_later, defined_first_elsewhere;
int two_commons[2];
int get(void);
int main(void) {
    two_commons[1] = 5;
    printf("%d %d %d\n", defined_later, defined_first_elsewhere, get());
    return 0;
}
