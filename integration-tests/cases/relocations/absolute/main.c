// R_X86_64_8, 16, 32, 32S, 64 with their addends, on addresses and on absolute values at both ends of their ranges.
//#Pic: nopic
#include <stdint.h>
#include <stdio.h>
extern const uint8_t bytes[4];
extern const uint16_t words[4];
extern const uint32_t longs[4];
extern const uint64_t quads[4];
extern int target[8];
uint64_t by_move32(void), by_move32s(void), by_movabs(void);
int main(void) {
    printf("%x %x %x\n", bytes[0], bytes[1], bytes[2]);
    printf("%x %x %x\n", words[0], words[1], words[2]);
    printf("%x %d %d\n", longs[0], longs[1] == (uint32_t)(uintptr_t)target, longs[2] == (uint32_t)(uintptr_t)&target[3]);
    printf("%llx %d %d\n", (unsigned long long)quads[0], quads[1] == (uintptr_t)target, quads[2] == (uintptr_t)target - 8);
    printf("%d %d %d\n", by_move32() == (uintptr_t)target, by_move32s() == (uintptr_t)&target[1], by_movabs() == (uintptr_t)&target[2]);
    return 0;
}
