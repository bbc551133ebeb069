// Sections of one name with different flags and types, in one object and in several, are separate sections.
#include <stdio.h>
int read_only(void), writable(void), called(void), zeroed(void), c_data(void);
__attribute__((section("mine"))) int of_main = 6;
int main(void) {
    printf("%d %d %d %d %d %d\n", read_only(), writable(), called(), zeroed(), of_main, c_data());
    of_main++;
    printf("%d %d\n", writable(), of_main);
    return 0;
}
