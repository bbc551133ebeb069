// RTLD_NEXT finds the definition after the caller's own: a wrapper around the C library's function.
//#Rule: 27
//#Pic: pic pie
//#NativeFlags: -rdynamic
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
static int calls;
int atoi(const char *text) {
    calls++;
    int (*next)(const char *) = (int (*)(const char *))dlsym(RTLD_NEXT, "atoi");
    return next ? next(text) + 1000 : -1;
}
int main(void) {
    int value = atoi("42");
    printf("%d %d\n", value, calls);
    return 0;
}
