// A program returns from signals by a trampoline of its own, JIT'd: once with a record that says so (augmentation S, every register by an expression), once with none,
// which the unwinder knows by its instructions. Walks from the handler reach the interrupted function and main.
//#NotLazy: a function's address is that of its stub, which is not where its code is
//#Flags: -O0 | -O2 -fno-optimize-sibling-calls
//#Compiler: gcc
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>
struct kernel_action { void (*handler)(int); unsigned long flags; void (*restorer)(void); unsigned long mask; };
extern void described_restorer(void), plain_restorer(void);
extern int interrupted(void);
int main(void);
struct seen { int frames, interrupted, exact, main; };
static _Unwind_Reason_Code each(struct _Unwind_Context *context, void *argument) {
    struct seen *seen = argument;
    int before = 0;
    char *pc = (char *)_Unwind_GetIPInfo(context, &before);
    // It takes what it is given for a return address, and looks one byte before that.
    void *start = _Unwind_FindEnclosingFunction(pc + before);
    if (start == (void *)interrupted) seen->interrupted++, seen->exact = before;
    if (start == (void *)main) seen->main++;
    return ++seen->frames == 100 || seen->main ? _URC_NORMAL_STOP : _URC_NO_REASON;
}
static void on_signal(int signal) {
    struct seen seen = {0};
    _Unwind_Backtrace(each, &seen);
    printf("signal %d: interrupted %d, exact %d, main %d\n", signal, seen.interrupted, seen.exact, seen.main);
}
int main(void) {
    void (*const restorers[])(void) = {described_restorer, plain_restorer};
    for (int i = 0; i < 2; i++) {
        // SA_RESTORER
        struct kernel_action action = {on_signal, 0x04000000, restorers[i], 0};
        if (syscall(SYS_rt_sigaction, SIGTRAP, &action, 0, 8)) return 1;
        printf("%d\n", interrupted());
    }
    return 0;
}
