// dlopen, dlsym, dlclose, dlerror and dladdr of dlfcn.h reach JITDylibs first, then the system's libraries.
//#Rule: 29
//#Dylib: P p.c
//#Needs: none
//#Pic: pic pie
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
int own_symbol(void) { return 3; }
int main(void) {
    void *p = dlopen("P", RTLD_NOW);
    int (*function)(int) = (int (*)(int))dlsym(p, "function");
    printf("%d\n", function(4));
    void *math = dlopen("libm.so.6", RTLD_NOW);
    double (*cosine)(double) = (double (*)(double))dlsym(math, "cos");
    printf("%.1f\n", cosine(0));
    void *self = dlopen(0, RTLD_NOW);
    int (*own)(void) = (int (*)(void))dlsym(self, "own_symbol");
    printf("%d %d\n", own ? own() : -1, dlsym(RTLD_DEFAULT, "puts") != 0);
    printf("%d %d\n", dlopen("no_such_library.so", RTLD_NOW) == 0, dlerror() != 0);
    printf("%d\n", dlsym(p, "no_such_symbol") == 0);
    printf("%d %d\n", dlerror() != 0, dlerror() == 0);
    Dl_info info;
    int known = dladdr((void *)function, &info);
    printf("%d %s\n", known != 0, info.dli_sname);
    printf("%d %d\n", dlclose(p), dlclose(math));
    return 0;
}
