// -mcmodel=large: every address has 64 bits, with PIC by way of PLTOFF64, GOTOFF64, GOTPC64.
//#Flags: -O0 -mcmodel=large | -O2 -mcmodel=large
//#Pic: pic nopic
//#NotElsewhere: other machines have other code models
#include <stdio.h>
char huge[200000];
static int table[] = {1, 2, 3};
int small = 5;
int other(int);
static __attribute__((noinline)) int local(int x) { return x * 3; }
int (*volatile pointer)(int) = local;
int main(void) {
    huge[199999] = 4;
    printf("%d %d %d %d %d\n", huge[199999], table[2], small, other(2), pointer(5) + local(6));
    return 0;
}
