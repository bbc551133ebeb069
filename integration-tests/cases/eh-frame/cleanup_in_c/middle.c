#include <stdio.h>
static void release(int *n) { printf("release %d\n", *n); }
int middle(void (*f)(int), int count) {
    for (int i = 0; i < count; i++) {
        __attribute__((cleanup(release))) int held = i;
        f(i);
    }
    return count;
}
