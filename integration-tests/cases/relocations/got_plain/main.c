// GOTPCREL, GOTPCREL64, GOT32, GOT64, GOTPLT64: slots reached relative to the place and to the table.
//#Pic: pic nopic
#include <stdint.h>
#include <stdio.h>
extern char target[16];
extern const int32_t slot_from_here[1];
uint64_t pcrel64(void), got32(void), got64(void), gotplt64(void), with_addend(void);
int called(void);
int main(void) {
    uintptr_t address = (uintptr_t)target;
    printf("%d\n", *(const uintptr_t *)((const char *)slot_from_here + *slot_from_here) == address);
    printf("%d %d %d %d\n", pcrel64() == address, got32() == address, got64() == address, gotplt64() == (uintptr_t)called);
    return called() != 9;
}
