// Constants and code cannot be written, data cannot be executed: each attempt is a SIGSEGV.
//#NotElsewhere: it calls instructions of x86-64
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
static sigjmp_buf back;
static void on_fault(int signal) { siglongjmp(back, signal); }
const int constant[4] = {1, 2, 3, 4};
static int variable[4] = {1, 2, 3, 4};
static unsigned char code_in_data[] = {0xc3};
static unsigned char code_in_bss[16];
static __attribute__((noinline)) int function(int x) { return x + 1; }
static void write_to(void *place) { *(volatile char *)place = 1; }
static void call(void *place) {
    void (*f)(void);
    memcpy(&f, &place, sizeof f);
    f();
}
static const char *attempt(void (*what)(void *), void *place) {
    if (sigsetjmp(back, 1)) return "refused";
    what(place);
    return "allowed";
}
int main(void) {
    int (*volatile f)(int) = function;
    code_in_bss[0] = 0xc3;
    signal(SIGSEGV, on_fault);
    printf("write constant: %s\n", attempt(write_to, (void *)constant));
    printf("write variable: %s\n", attempt(write_to, variable));
    printf("write code: %s\n", attempt(write_to, (void *)f));
    printf("execute data: %s\n", attempt(call, code_in_data));
    printf("execute bss: %s\n", attempt(call, code_in_bss));
    printf("execute constant: %s\n", attempt(call, (void *)constant));
    printf("%d\n", f(1));
    return 0;
}
