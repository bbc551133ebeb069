// Data, not only functions, extracts members; an empty archive and one whose members define nothing hurt nobody.
//#Make: libempty.a = rm -f libempty.a && ar rcs libempty.a
//#Archive: libdata.a table.c nothing.c
//#Inputs: main.c libempty.a libdata.a
#include <stdio.h>
extern const int table[3];
int main(void) {
    printf("%d %d %d\n", table[0], table[1], table[2]);
    return 0;
}
