// Rule 1 holds through a dylib that has no initializers at all.
//#Rule: 1
//#Dylib: TOP top.c needs BARE
//#Dylib: BARE bare.c needs DEEP
//#Dylib: DEEP deep.c
//#Needs: TOP
#define NAME main
#include "trace.h"
int top(void);
int main(void) {
    printf("main %d\n", top());
    return 0;
}
