// A thin archive names its members; they are read from beside it.
//#Make: sub/libt.a = mkdir -p sub && cp one.o two.o sub && cd sub && ar rcsT libt.a one.o two.o
//#Inputs: main.c sub/libt.a
#include <stdio.h>
int one(void);
int main(void) {
    printf("%d\n", one());
    return 0;
}
