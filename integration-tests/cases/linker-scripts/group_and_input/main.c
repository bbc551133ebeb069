// Text linker scripts as libraries: GROUP, INPUT, AS_NEEDED, comments, -lNAME inside, one script naming another.
//#Archive: libone.a one.c
//#Archive: libtwo.a two.c
//#Make: libscript.so = printf '/* GNU ld script */\nOUTPUT_FORMAT(elf64-x86-64)\nGROUP ( libone.a AS_NEEDED ( -lother ) )\n' > libscript.so
//#Make: libother.so = printf 'INPUT(libtwo.a)\n' > libother.so
//#Inputs: main.c
//#Libs: -L . -lscript
//#NotElsewhere: the script names the format of x86-64
#include <stdio.h>
int one(int);
int main(void) {
    printf("%d\n", one(3));
    return 0;
}
