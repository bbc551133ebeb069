// backtrace(), _Unwind_Backtrace and _Unwind_FindEnclosingFunction, asked by handlers of SIGUSR1 (sent), SIGSEGV and SIGFPE (faults), on the
// thread's stack and on one of its own: through the kernel's frame to the function that was interrupted and to all of its callers.
//#NotLazy: a function's address is that of its stub, which is not where its code is
//#Flags: -O0 | -O2 -fno-optimize-sibling-calls -fomit-frame-pointer
//#NotElsewhere: it reads a register of x86-64 from the context
#define _GNU_SOURCE
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unwind.h>
#include "faults.h"
int main(void);
static int outer(int kind);
static const struct { void *start; const char *name; } functions[] = {
    {(void *)divide, "divide"}, {(void *)store, "store"}, {(void *)send_one, "send_one"}, {(void *)middle, "middle"},
    {(void *)outer, "outer"}, {(void *)main, "main"},
};
// It takes what it is given for a return address, and looks one byte before that.
static const char *name_of(void *return_address) {
    void *start = _Unwind_FindEnclosingFunction(return_address);
    for (unsigned i = 0; i < sizeof functions / sizeof *functions; i++)
        if (functions[i].start == start) return functions[i].name;
    return 0;
}
struct walk { void *pcs[64]; int exact[64], count; };
static _Unwind_Reason_Code each(struct _Unwind_Context *context, void *argument) {
    struct walk *walk = argument;
    int before = 0;
    void *pc = (void *)_Unwind_GetIPInfo(context, &before);
    walk->exact[walk->count] = before;
    walk->pcs[walk->count++] = pc;
    return walk->count == 64 ? _URC_NORMAL_STOP : _URC_NO_REASON;
}
static void on_signal(int signal, siginfo_t *info, void *context) {
    (void)info;
    void *at = (void *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    struct walk walk = {.count = 0};
    _Unwind_Backtrace(each, &walk);
    printf("signal %d:", signal);
    for (int i = 0; i < walk.count; i++) {
        const char *name = name_of((char *)walk.pcs[i] + walk.exact[i]);
        if (name) printf(" %s%s", name, walk.exact[i] && walk.pcs[i] == at ? "(here)" : "");
        if (name && !strcmp(name, "main")) break;
    }
    void *pcs[64];
    int count = backtrace(pcs, 64), interrupted = -1, end = -1;
    for (int i = 0; i < count; i++) {
        if (pcs[i] == at) interrupted = i;
        const char *name = name_of(pcs[i]);
        if (name && !strcmp(name, "main")) end = i;
    }
    printf("; backtrace: %s, %d more to main\n", interrupted >= 0 ? "interrupted here" : "lost", end - interrupted);
    // Behind the instruction that cannot go on.
    if (signal != SIGUSR1) ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += length_of_fault(signal);
}
static __attribute__((noinline)) int outer(int kind) { return middle(kind) + 1; }
int main(void) {
    static char stack[1 << 16];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, 0);
    for (int flags = SA_SIGINFO; flags >= 0; flags = flags == SA_SIGINFO ? SA_SIGINFO | SA_ONSTACK : -1) {
        struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = flags};
        sigaction(SIGUSR1, &action, 0);
        sigaction(SIGSEGV, &action, 0);
        sigaction(SIGFPE, &action, 0);
        for (int kind = 0; kind < 3; kind++)
            if (outer(kind) < 0) abort();
    }
    return 0;
}
