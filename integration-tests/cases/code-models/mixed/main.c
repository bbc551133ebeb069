// One program of objects of all models: PIC, PIE, non-PIC, medium, large.
//#Pic: nopic
//#FlagsFor: pic.c -fPIC
//#FlagsFor: pie.c -fPIE
//#FlagsFor: medium.c -mcmodel=medium
//#FlagsFor: large.c -mcmodel=large
//#NotElsewhere: other machines have other code models
#include <stdio.h>
int value = 1;
int pic(int), pie(int), medium(int), large(int);
int main(void) {
    printf("%d %d %d %d\n", pic(1), pie(2), medium(3), large(4));
    return 0;
}
