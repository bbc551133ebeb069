// A symbol that an object defines keeps the archive's definition out, also when the archive comes first.
//#Archive: libd.a d.c e.c
//#OrcInputs: libd.a main.c
//#NativeInputs: main.c libd.a
#include <stdio.h>
int d(void) { return 1; }
int e(void);
int main(void) {
    printf("%d %d\n", d(), e());
    return 0;
}
