// An alignment of 1 GiB is honoured, next to ordinary data.
//#Compiler: gcc
//#Pic: pic pie
//#Flags: -O1
//#Inputs: main.c huge.s
//#ExpectStdout: 0 7 9
#include <stdint.h>
#include <stdio.h>
extern char huge[];
int beside = 7;
int main(void) {
    huge[100] = 9;
    printf("%d %d %d\n", (int)((uintptr_t)huge % (1ul << 30)), beside, huge[100]);
    return 0;
}
