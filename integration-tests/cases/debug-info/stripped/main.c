// Objects whose debug information or local symbols were stripped.
//#Make: a_stripped.o = objcopy --strip-debug a.o a_stripped.o
//#Make: b_stripped.o = strip --strip-unneeded -o b_stripped.o b.o
//#Inputs: main.c a_stripped.o b_stripped.o
//#Flags: -g -O1
#include <stdio.h>
int a(int), b(int);
int main(void) {
    printf("%d %d\n", a(1), b(2));
    return 0;
}
