// A typo: the symbol, the object and function that refer to it, and the nearest name.
//#ExpectError: compute_totl
//#ExpectError: main.o
//#ExpectError: use_it
//#ExpectError: did you mean ... compute_total
#include <stdio.h>
int compute_totl(int);
__attribute__((noinline)) int use_it(int x) { return compute_totl(x) + 1; }
int main(void) {
    puts("ran");
    return use_it(1);
}
