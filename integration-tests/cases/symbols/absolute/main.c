// SHN_ABS symbols keep their value, wherever the image lies: small, negative, 64 bits wide.
//#Pic: nopic
#include <stdint.h>
#include <stdio.h>
extern char small_absolute[], wide_absolute[];
uint64_t as_quad(void), as_move(void), as_signed(void);
int main(void) {
    printf("%llx %llx %llx %llx\n", (unsigned long long)as_quad(), (unsigned long long)as_move(), (unsigned long long)as_signed(), (unsigned long long)(uintptr_t)small_absolute);
    return 0;
}
