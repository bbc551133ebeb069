// Between dylibs the first definition in lookup order is taken, weak or not, as a loader does.
//#Rule: 30
//#Dylib: B b.c
//#Dylib: C c.c
//#Pic: pic pie
#include <stdio.h>
int value(void), c_only(void);
int main(void) {
    printf("%d %d\n", value(), c_only());
    return 0;
}
