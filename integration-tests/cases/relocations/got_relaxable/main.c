// GOTPCRELX and REX_GOTPCRELX on every instruction that can carry one, on a local symbol, an absolute one and one of the host.
//#Pic: pic nopic
#include <stdint.h>
#include <stdio.h>
extern char target[16];
uint64_t moves(void), moves_high(void), tests(void), compares(void), sums(uint64_t), logic(void), differences(uint64_t);
int calls(void), jumps(void), host_calls(void);
uint64_t host_address(void), absolute(void);
int main(void) {
    uint64_t address = (uintptr_t)target;
    printf("%d %d %d %d\n", moves() == address, moves_high() == address, (int)tests(), (int)compares());
    printf("%d %d %d\n", sums(1000) == 2 * address + 1000, logic() == address, differences(3 * address + 7) == address + 7);
    printf("%d %d %d %d %llx\n", calls(), jumps(), host_calls(), host_address() == (uintptr_t)puts, (unsigned long long)absolute());
    return 0;
}
