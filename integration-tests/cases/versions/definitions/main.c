// f@@V2 is the default for references to f; references to f@V1 get the old one.
//#Compiler: gcc clang
//#Pic: pic
//#Make: libv.so = $CC -shared -o libv.so defs.o -Wl,--version-script=$CASE/versions.map -Wl,-soname,libv.so
//#OrcInputs: main.c old.c defs.c
//#NativeInputs: main.c old.c libv.so -Wl,-rpath,$ORIGIN
#include <stdio.h>
int f(int);
int old(int);
int main(void) {
    printf("%d %d\n", f(1), old(1));
    return 0;
}
