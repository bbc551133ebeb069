// More than 65,280 sections in one object: extended section numbers everywhere.
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic nopic
//#Timeout: 120
#include <stdio.h>
int first(void), last(void);
int main(void) {
    printf("%d %d\n", first(), last());
    return 0;
}
