// Several init arrays in one object: ascending priority, unsuffixed last, source order within one priority.
//#Rule: 6
#include <stdio.h>
#define INIT(n, p) __attribute__((constructor(p))) static void init_##n(void) { printf("init %s at %d\n", #n, p); }
INIT(late, 900)
INIT(early, 101)
INIT(first_of_two, 500)
INIT(second_of_two, 500)
__attribute__((constructor)) static void plain_a(void) { puts("init plain a"); }
__attribute__((constructor)) static void plain_b(void) { puts("init plain b"); }
INIT(middle, 499)
int main(void) {
    puts("main");
    return 0;
}
