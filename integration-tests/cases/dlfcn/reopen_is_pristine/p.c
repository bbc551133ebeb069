#include <stdio.h>
#include <stdlib.h>
static int data = 10, bss, initialized;
static int *pointer = &data;
static char large[100000];
static void handler(void) { printf("handler sees %d\n", data); }
__attribute__((constructor)) static void init(void) {
    initialized += 100;
    atexit(handler);
}
int work(void) {
    data += 1, bss += 2, large[99999] += 3;
    int seen = *pointer + bss + initialized + large[99999];
    return seen;
}
