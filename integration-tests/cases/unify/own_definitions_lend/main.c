// A dylib that keeps its own definitions still lends them to who is asked later, as one that -Bsymbolic made; main is asked first by all others.
//#Rule: 30
//#Dylib: B b.c
//#Dylib: C c.c
//#OptionsFor: B --own-definitions = -Wl,-Bsymbolic
//#Flags: -O1
//#Pic: pic
#include <stdio.h>
__attribute__((weak)) int in_all = 1;
int b_all(void), b_both(void), c_all(void), c_both(void);
int main(void) {
    printf("all: main %d, B %d, C %d\n", in_all, b_all(), c_all());
    printf("B and C: B %d, C %d\n", b_both(), c_both());
    return 0;
}
