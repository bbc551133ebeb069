// Calls and data references over a distance of nearly 2 GiB inside one program.
//#Pic: pic nopic
//#Flags: -O1
#include <stdio.h>
static char gap_one[900 << 20], gap_two[900 << 20];
int counter;
int bump(void);
int main(void) {
    gap_one[5] = 1, gap_two[899 << 20] = 2;
    int first = bump();
    printf("%d %d %d %d\n", first, counter, gap_one[5], gap_two[899 << 20]);
    return 0;
}
