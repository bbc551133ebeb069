// A Rust library (.rlib: an archive with a metadata member) under a C program.
//#Make: libsums.rlib = rustc --edition=2024 --crate-name sums --crate-type=rlib -Cpanic=abort -Copt-level=2 -Crelocation-model=pic -o libsums.rlib $CASE/sums.rust
//#Inputs: main.c libsums.rlib
//#NotElsewhere: the library is made by rustc, for the machine of these tests
#include <stdint.h>
#include <stdio.h>
uint64_t sum_of_squares(const uint32_t *values, size_t count);
int main(void) {
    uint32_t values[] = {1, 2, 3, 100000};
    printf("%llu\n", (unsigned long long)sum_of_squares(values, 4));
    return 0;
}
