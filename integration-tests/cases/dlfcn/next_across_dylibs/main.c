// RTLD_NEXT is what follows the dylib whose code asks: a chain of wrappers of one name through the link order, down to the C library's.
//#Rule: 27
//#Dylib: A a.c
//#Dylib: B b.c
//#Dylib: C c.c
//#Flags: -O1
//#Pic: pic
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int b_before_c(void);
int main(void) {
    printf("%d\n", (*(int (*volatile)(int))abs)(-5));
    printf("%d\n", b_before_c());
    printf("%d\n", dlsym(RTLD_NEXT, "nobody_has_this") == 0 && dlerror() != 0);
    return 0;
}
int abs(int x) {
    puts("abs of main");
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "abs");
    return next(x) + 1000;
}
