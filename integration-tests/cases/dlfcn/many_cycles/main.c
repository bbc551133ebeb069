// Two thousand opens and closes: initializers and finalizers each time, and memory does not grow.
//#Rule: 18 22
//#Dylib: P p.c needs Q
//#Dylib: Q q.c
//#Needs: none
#include "open.h"
#include <string.h>
int count;
static long pages(void) {
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (fscanf(file, "%ld %ld", &size, &resident) != 2) resident = -1;
    fclose(file);
    return resident;
}
int main(void) {
    long before = 0;
    for (int round = 0; round < 2000; round++) {
        if (round == 200) before = pages();
        void *p = open_or_tell("P");
        if (!p) return 1;
        int (*bump)(int *) = (int (*)(int *))__orc_rt_jit_dlsym(p, "bump");
        bump(&count);
        if (__orc_rt_jit_dlclose(p)) return 2;
    }
    printf("%d rounds, grown by a megabyte: %d\n", count, pages() - before > 256);
    return 0;
}
