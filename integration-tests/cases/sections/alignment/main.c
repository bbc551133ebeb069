// Alignments from 1 byte to 1 MiB, in every kind of section, of every object.
//#NotLazy: a function's address is that of its stub, which is not where its code is, and has the stub's alignment
#include <stdint.h>
#include <stdio.h>
#define AT(n) ((int)((uintptr_t)&(n) % _Alignof(n)))
_Alignas(64) char a64 = 1;
_Alignas(4096) char a4k[3];
_Alignas(65536) char a64k = 2;
_Alignas(1 << 20) char a1m[5];
_Alignas(8192) const char c8k[] = "constant";
__attribute__((aligned(1024))) int f(int x) { return x; }
extern _Alignas(32768) char other;
int main(void) {
    printf("%d %d %d %d %d %d\n", AT(a64), AT(a4k), AT(a64k), AT(a1m), AT(c8k), AT(other));
    printf("%d %d %s\n", (int)((uintptr_t)f % 1024), f(3), c8k);
    return 0;
}
