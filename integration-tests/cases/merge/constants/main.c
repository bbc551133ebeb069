// Mergeable constants of 4, 8, 16 and 32 bytes keep their values and alignments.
//#NotElsewhere: it asks for instructions of x86-64
//#Flags: -O1 | -O2 -mavx
#include <stdio.h>
double a(double), b(double);
float c(float);
int main(void) {
    printf("%g %g %g\n", a(2), b(2), (double)c(3));
    return 0;
}
