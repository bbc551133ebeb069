// -mcmodel=medium: large data is reached by 64-bit addresses (.ldata, .lbss, .lrodata), small data as ever.
//#Flags: -O0 -mcmodel=medium | -O2 -mcmodel=medium
//#NotElsewhere: other machines have other code models
#include <stdio.h>
char huge[200000];
static int big_table[50000] = {1, 2, 3};
const int big_constant[30000] = {7, 8, 9};
int small = 5;
int other(int);
int main(void) {
    huge[199999] = 4;
    printf("%d %d %d %d %d\n", huge[199999], big_table[2], big_constant[1], small, other(2));
    return 0;
}
