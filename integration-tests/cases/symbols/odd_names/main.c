// Names with dots, dollars, UTF-8, two thousand letters; locals of one name in several objects, a local hiding no global.
#include <stdio.h>
int dotted(void) __asm__("a.b$c");
int utf8(void) __asm__("größe_函数");
int a_local(void), b_local(void), b_long(void);
static int local(void) { return 1; }
int main(void) {
    printf("%d %d %d %d %d\n", dotted(), utf8(), local(), a_local(), b_local());
    printf("%d\n", b_long());
    return 0;
}
