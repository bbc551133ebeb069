// An IFUNC of another dylib.
//#Dylib: B b.c
//#Pic: pic pie
#include <stdio.h>
int chosen(int);
int (*from_b(void))(int);
int main(void) {
    printf("%d %d\n", chosen(2), from_b() == chosen);
    return 0;
}
