// Common symbols: the largest size and the strictest alignment win; all units share one object.
//#Flags: -O0 -fcommon | -O2 -fcommon
#include <stdint.h>
#include <stdio.h>
#include <string.h>
char shared[16];
int plain;
_Alignas(256) char aligned[8];
void fill(void);
int check(void);
int main(void) {
    fill();
    int sum = 0;
    for (int i = 0; i < 16; i++) sum += shared[i];
    printf("%d %d %d %d\n", sum, plain, (int)((uintptr_t)aligned % 256), check());
    return 0;
}
