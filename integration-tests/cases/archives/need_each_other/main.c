// liba needs libb needs liba, three times over: the order of the archives does not matter.
//#Args: x y
//#Archive: liba.a a1.c a2.c
//#Archive: libb.a b1.c b2.c
//#NativeInputs: main.c -Wl,--start-group liba.a libb.a -Wl,--end-group
#include <stdio.h>
int a1(int);
int main(int argc, char **argv) {
    printf("%d %s %s\n", a1(argc), argv[1], argv[2]);
    return a1(0);
}
//#Exit: 33
