// Static storage is used again: two hundred opens of a dylib whose variables fill most of the pool and must be static.
//#Dylib: B b.c
//#Needs: none
//#Pic: nopic
//#Oracle: expected
//#ExpectStdout: 200 opens
#include <dlfcn.h>
#include <stdio.h>
int main(void) {
    int opens = 0;
    for (int i = 0; i < 200; i++) {
        void *handle = dlopen("B", RTLD_NOW);
        int (*check)(void) = handle ? (int (*)(void))dlsym(handle, "check") : 0;
        if (!check || check() != 7 || check() != 8) return 1;
        if (dlclose(handle)) return 2;
        opens++;
    }
    printf("%d opens\n", opens);
    return 0;
}
