// A cycle A -> B -> C -> A: post-order from the member that is reached first, and the cycle before what needs it.
//#Rule: 1 2
//#Dylib: A a.c needs B
//#Dylib: B b.c needs C
//#Dylib: C c.c needs A D
//#Dylib: D d.c
//#Needs: A
//#ExpectStdout: init D
//#ExpectStdout: init C
//#ExpectStdout: init B
//#ExpectStdout: init A
//#ExpectStdout: init main
//#ExpectStdout: main
//#ExpectStdout: fini main
//#ExpectStdout: fini A
//#ExpectStdout: fini B
//#ExpectStdout: fini C
//#ExpectStdout: fini D
#define NAME main
#include "trace.h"
int main(void) {
    puts("main");
    return 0;
}
