// An undefined weak symbol is null through a call, the GOT, a pointer in data, and with an offset.
//#Rule: 27
//#NotOn: riscv64 GNU ld 2.40 leaves out the addend of a pointer to an undefined weak variable
#include <stdio.h>
__attribute__((weak)) int missing(int);
extern __attribute__((weak)) int missing_data[4];
int (*pointer)(int) = missing;
int *third = &missing_data[2];
int main(void) {
    int (*volatile call)(int) = missing;
    printf("%d %d %d %d\n", call == 0, pointer == 0, missing_data == 0, (int)(long)third);
    if (missing) return missing(1);
    return 0;
}
