// What compilers make of target_clones: an IFUNC with a resolver that asks libgcc's CPU model.
//#NotElsewhere: it asks for instructions of x86-64
//#Libs: -lgcc
//#Flags: -O1 | -O2
#include <stdio.h>
__attribute__((target_clones("avx2", "default"))) int sum(const int *values, int count) {
    int total = 0;
    for (int i = 0; i < count; i++) total += values[i];
    return total;
}
int main(void) {
    int values[100];
    for (int i = 0; i < 100; i++) values[i] = i;
    printf("%d %d\n", sum(values, 100), __builtin_cpu_supports("sse2") != 0);
    return 0;
}
