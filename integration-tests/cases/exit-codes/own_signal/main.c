// A program may raise a signal on itself and may handle its own SIGSEGV on a stack of its own.
//#Exit: 143
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
static sigjmp_buf back;
static char stack[65536];
static void on_fault(int signal) { siglongjmp(back, signal); }
int *volatile nowhere;
int main(void) {
    stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternative, 0);
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
    sigaction(SIGSEGV, &action, 0);
    int signal = sigsetjmp(back, 1);
    if (signal == 0) *nowhere = 1;
    printf("caught %d\n", signal);
    fflush(0);
    raise(SIGTERM);
    return 0;
}
