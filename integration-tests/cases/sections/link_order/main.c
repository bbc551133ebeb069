// SHF_LINK_ORDER sections (as -fpatchable-function-entry makes) lie beside their sections and are reached by their set.
//#Flags: -O1 -fpatchable-function-entry=4,2 | -O2 -ffunction-sections -fpatchable-function-entry=4,2
//#NotElsewhere: the assembler of other machines orders patchable entries otherwise
#include <stdio.h>
extern void *const __start___patchable_function_entries[], *const __stop___patchable_function_entries[];
__attribute__((noinline)) int f(int x) { return x + 1; }
int g(int);
int main(void) {
    int nops = 0, count = 0;
    for (void *const *p = __start___patchable_function_entries; p < __stop___patchable_function_entries; p++) {
        const unsigned char *code = *p;
        count++;
        nops += code[0] == 0x90 || code[0] == 0x66 || code[0] == 0x0f;
    }
    printf("%d %d %d\n", count, nops, f(1) + g(2));
    return 0;
}
