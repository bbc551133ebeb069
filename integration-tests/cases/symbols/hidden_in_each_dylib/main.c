// A hidden name is each dylib's own.
//#Dylib: B b.c
//#Pic: pic
#include <stdio.h>
__attribute__((visibility("hidden"))) int own(void) { return 1; }
int b_own(void);
int main(void) {
    printf("%d %d\n", own(), b_own());
    return 0;
}
