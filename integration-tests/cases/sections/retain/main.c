// SHF_GNU_RETAIN keeps what nothing refers to.
//#Compiler: gcc clang
//#NativeFlags: -Wl,--gc-sections
//#Flags: -O0 -ffunction-sections -fdata-sections | -O2 -ffunction-sections -fdata-sections
#include <stdio.h>
extern const int __start_kept[], __stop_kept[];
int main(void) {
    int sum = 0;
    for (const int *p = __start_kept; p < __stop_kept; p++) sum += *p;
    printf("%d\n", sum);
    return 0;
}
