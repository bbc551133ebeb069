// main:[B,C], C:[B] gives B, C, main; finalizers in exact reverse.
//#Rule: 1 2
//#Dylib: B b.c
//#Dylib: C c.c needs B
//#Pic: pic pie nopic
//#Oracle: both
//#ExpectStdout: init B
//#ExpectStdout: init C
//#ExpectStdout: init main
//#ExpectStdout: main 5
//#ExpectStdout: fini main
//#ExpectStdout: fini C
//#ExpectStdout: fini B
#include <stdio.h>
int c(void);
__attribute__((constructor)) static void init(void) { puts("init main"); }
__attribute__((destructor)) static void fini(void) { puts("fini main"); }
int main(void) {
    printf("main %d\n", c());
    return 0;
}
