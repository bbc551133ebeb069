// All or nothing: an unresolved symbol in the last dylib is told before the first initializer of any runs.
//#Dylib: A a.c
//#Dylib: B b.c needs A
//#ExpectError: not_anywhere
//#ExpectError: b.o
#include <stdio.h>
int b(void);
__attribute__((constructor)) static void init(void) { puts("init main"); }
int main(void) { return b(); }
