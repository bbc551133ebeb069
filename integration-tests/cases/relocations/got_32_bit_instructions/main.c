// GOTPCRELX without a REX prefix: 32-bit operations read the low half of the slot.
//#Pic: nopic
#include <stdint.h>
#include <stdio.h>
extern char target[16];
uint32_t move(void), sum(uint32_t), compare(void);
int main(void) {
    uint32_t low = (uint32_t)(uintptr_t)target;
    printf("%d %d %d\n", move() == low, sum(5) == low + 5, compare());
    return 0;
}
