// SIZE32 and SIZE64 give the size of a symbol, plus the addend, wherever it is defined.
//#Pic: pic nopic
#include <stdio.h>
unsigned long size32(void), size64(void), size_more(void);
int main(void) {
    printf("%lu %lu %lu\n", size32(), size64(), size_more());
    return 0;
}
