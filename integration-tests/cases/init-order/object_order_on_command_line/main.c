// Equal priority follows the order of the inputs, not their names.
//#Rule: 6
//#Inputs: z.c main.c a.c
#include <stdio.h>
__attribute__((constructor)) static void m(void) { puts("main.o"); }
int main(void) { return 0; }
