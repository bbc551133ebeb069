// --needs decides the order, not the order of the command line; a dylib that nobody needs is not initialized.
//#Rule: 2 4
//#Dylib: A a.c
//#Dylib: B b.c
//#Dylib: C c.c
//#Needs: C A
//#ExpectStdout: init C
//#ExpectStdout: init A
//#ExpectStdout: init main
//#ExpectStdout: main
//#ExpectStdout: fini main
//#ExpectStdout: fini A
//#ExpectStdout: fini C
#define NAME main
#include "trace.h"
int main(void) {
    puts("main");
    return 0;
}
