// A real shared library as input: its functions, data and initializers, and a library of its own.
//#Shared: libinner.so inner.c
//#Shared: libouter.so outer.c needs libinner.so
//#Inputs: main.c libouter.so
//#NativeFlags: -Wl,-rpath-link,.
//#Pic: pic pie
#include <stdio.h>
int outer(int);
extern int outer_count;
int main(void) {
    printf("%d %d\n", outer(4), outer_count);
    return 0;
}
