// A symbol that only another dylib has, hidden there, is unresolved; the error says so.
//#Dylib: B b.c
//#ExpectError: hidden_in_b
//#ExpectError: main.o
#include <stdio.h>
int hidden_in_b(void);
int main(void) {
    puts("ran");
    return hidden_in_b();
}
