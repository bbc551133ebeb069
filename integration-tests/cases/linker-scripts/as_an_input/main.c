// A script as an input of its own, by path.
//#Archive: liba.a a.c
//#Make: all.ld = printf 'INPUT ( liba.a , "main2.o" )\n' > all.ld && $CC $FLAGS -c $CASE/second.c -o main2.o
//#Inputs: main.c all.ld
#include <stdio.h>
int a(void), second(void);
int main(void) {
    printf("%d %d\n", a(), second());
    return 0;
}
