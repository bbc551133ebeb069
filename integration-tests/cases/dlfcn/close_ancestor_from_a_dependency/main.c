// A dependency's initializer opens and closes the dylib that is being opened on its account, twice: the open goes on, and its count is that of main alone.
//#Rule: 7 18 23
//#Dylib: P p.c needs Q
//#Dylib: Q q.c
//#Needs: none
//#Flags: -O1
//#Pic: pic
#include "open.h"
int main(void) {
    void *p = open_or_tell("P");
    printf("opened %d\n", p != 0);
    printf("closed %d\n", __orc_rt_jit_dlclose(p));
    puts("end");
    return 0;
}
