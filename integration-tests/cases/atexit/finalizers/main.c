// .fini_array.N in descending priority, unsuffixed first, .dtors too.
//#Rule: 19
#include <stdio.h>
void say(const char *text) { puts(text); }
__attribute__((destructor(300))) static void f300(void) { puts("fini 300"); }
__attribute__((destructor)) static void f_a(void) { puts("fini plain a"); }
__attribute__((destructor)) static void f_b(void) { puts("fini plain b"); }
__attribute__((destructor(101))) static void f101(void) { puts("fini 101"); }
int main(void) {
    puts("main");
    return 0;
}
