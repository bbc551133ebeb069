// .preinit_array of the root program runs before every other initializer, also before those of what it links against.
//#Rule: 6
//#Dylib: B b.c
#include <stdio.h>
void from_b(void);
static void pre(int argc, char **argv, char **envp) { printf("preinit %d %d\n", argc, envp != 0 && argv != 0); }
__attribute__((section(".preinit_array"), used)) static void (*const entry)(int, char **, char **) = pre;
__attribute__((constructor(101))) static void init(void) { puts("init"); }
int main(void) {
    puts("main");
    from_b();
    return 0;
}
