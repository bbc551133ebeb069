// A diamond with a tail: every dependency before its dependants, each once.
//#Rule: 1 4
//#Dylib: L l.c needs R BASE
//#Dylib: R r.c needs BASE
//#Dylib: BASE base.c needs TAIL
//#Dylib: TAIL tail.c
//#Needs: L R
#define NAME main
#include "trace.h"
int main(void) {
    puts("main");
    return 0;
}
