// An archive that stands before the object which needs it.
//#Archive: liba.a a.c
//#OrcInputs: liba.a main.c
//#NativeInputs: main.c liba.a
#include <stdio.h>
int a(void);
int main(void) {
    printf("%d\n", a());
    return 0;
}
