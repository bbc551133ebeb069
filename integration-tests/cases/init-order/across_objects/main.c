// Priorities are ordered over all objects; equal priorities run in the order of the objects.
//#Rule: 6
#include <stdio.h>
__attribute__((constructor(200))) static void m200(void) { puts("main 200"); }
__attribute__((constructor)) static void m(void) { puts("main plain"); }
int main(void) {
    puts("main");
    return 0;
}
