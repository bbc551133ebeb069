// .ctors.N counts as .init_array.(65535-N), and a .ctors array runs from its end to its start.
//#Rule: 6
#include <stdio.h>
void say(const char *text) { puts(text); }
__attribute__((constructor(300))) static void i300(void) { puts("init_array 300"); }
__attribute__((constructor(100 + 1))) static void i101(void) { puts("init_array 101"); }
int main(void) {
    puts("main");
    return 0;
}
