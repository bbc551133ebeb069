// Weak and strong aliases name one address; a strong alias elsewhere replaces only its own name.
#include <stdio.h>
int real(void) { return 5; }
__attribute__((weak, alias("real"))) int other_name(void);
__attribute__((weak, alias("real"))) int replaced(void);
int (*volatile one)(void) = real, (*volatile two)(void) = other_name, (*volatile three)(void) = replaced;
int main(void) {
    printf("%d %d %d %d\n", one == two, one == three, other_name(), three());
    return 0;
}
