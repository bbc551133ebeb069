// GOTPC32, GOTPC64, GOTOFF64, PLTOFF64: the table's own address, and offsets from it to data and code.
//#Pic: pic nopic
#include <stdint.h>
#include <stdio.h>
extern char target[16] __attribute__((visibility("hidden")));
uint64_t by_pc32(void), by_pc64(void), offset_data(void), offset_inside(void);
int call_offset(void), call_host(void);
int main(void) {
    uintptr_t address = (uintptr_t)target;
    printf("%d %d %d\n", by_pc32() == by_pc64(), offset_data() == address, offset_inside() == address + 12);
    printf("%d %d\n", call_offset(), call_host());
    return 0;
}
