// --whole-archive takes every member, needed or not.
//#Archive: libplugins.a p1.c p2.c p3.c
//#OrcInputs: main.c libplugins.a
//#OrcOptions: --whole-archive
//#NativeInputs: main.c -Wl,--whole-archive libplugins.a -Wl,--no-whole-archive
#include <stdio.h>
int count;
int main(void) {
    printf("%d plugins\n", count);
    return 0;
}
