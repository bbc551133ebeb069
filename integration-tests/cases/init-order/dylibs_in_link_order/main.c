// Dylibs that do not need each other are initialized in link order: main:[A,B,C] gives A, B, C, main.
//#Rule: 2
//#Dylib: A a.c
//#Dylib: B b.c
//#Dylib: C c.c
//#ExpectStdout: init A
//#ExpectStdout: init B
//#ExpectStdout: init C
//#ExpectStdout: init main
//#ExpectStdout: main
//#ExpectStdout: fini main
//#ExpectStdout: fini C
//#ExpectStdout: fini B
//#ExpectStdout: fini A
#define NAME main
#include "trace.h"
int main(void) {
    puts("main");
    return 0;
}
