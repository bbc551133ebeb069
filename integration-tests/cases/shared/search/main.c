// -L and -l: libNAME.so before libNAME.a in a folder, the archive where there is no .so.
//#Shared: libboth.so both.c
//#Make: libboth.a = $CC $FLAGS -DARCHIVE -c $CASE/both.c -o both_archive.o && ar rcs libboth.a both_archive.o
//#Make: libonly.a = ar rcs libonly.a only.o
//#Inputs: main.c
//#Libs: -L . -lboth -lonly -lm
//#NativeFlags: -Wl,-rpath,$ORIGIN
//#Pic: pic pie
#include <math.h>
#include <stdio.h>
const char *both(void);
int only(void);
int main(int argc, char **argv) {
    (void)argv;
    printf("%s %d %.3f\n", both(), only(), sqrt(argc + 1.0));
    return 0;
}
