// Two hundred members, each needing the one before: extraction goes on until nothing is missing.
//#Make: libchain.a = for i in $(seq 1 200); do echo "int f$((i-1))(int); int f$i(int x) { return f$((i-1))(x) + 1; }" > c$i.c; done; echo 'int f0(int x) { return x; }' > c0.c; $CC $FLAGS -c c*.c; rm -f c.o; ar rcs libchain.a c[0-9]*.o; rm c[0-9]*.o c[0-9]*.c
//#Compiler: gcc
//#Flags: -O2
//#Pic: pic nopic
//#Inputs: main.c libchain.a
#include <stdio.h>
int f200(int);
int main(void) {
    printf("%d\n", f200(5));
    return 0;
}
