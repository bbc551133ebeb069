// The unwinder's own functions, used from C: _Unwind_RaiseException with a foreign class, a cleanup that resumes it, C++ that catches and throws it on
// (_Unwind_Resume_or_Rethrow), _Unwind_ForcedUnwind with a stop function that sees every frame, _Unwind_DeleteException, and the end of the stack.
//#CompileFlags: -fexceptions -fno-optimize-sibling-calls
//#NotElsewhere: it prints what a failed raise returns, which is not defined there
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unwind.h>
#include "frames.h"
int main(void);
static struct _Unwind_Exception exception;
static jmp_buf back;
static void deleted(_Unwind_Reason_Code reason, struct _Unwind_Exception *which) {
    printf("  deleted, reason %d, ours %d\n", (int)reason, which == &exception);
}
static void prepare(void) {
    memset(&exception, 0, sizeof exception);
    memcpy(&exception.exception_class, "ORCCTEST", 8);
    exception.exception_cleanup = deleted;
}
void cleanup(int *value) { printf("  cleanup %d\n", *value); }
void raise_it(void) {
    int kept __attribute__((cleanup(cleanup))) = 1;
    printf("  raised: %d\n", (int)_Unwind_RaiseException(&exception));
}
static _Unwind_Reason_Code stop(int version, _Unwind_Action actions, _Unwind_Exception_Class class, struct _Unwind_Exception *which,
                                struct _Unwind_Context *context, void *argument) {
    static int frames;
    (void)class;
    void *start = _Unwind_FindEnclosingFunction((char *)_Unwind_GetIP(context) - 1);
    frames++;
    if (start == (void *)main || (actions & _UA_END_OF_STACK)) {
        printf("  stop: version %d, %s, ours %d, argument %s, region of main %d\n", version, actions & _UA_FORCE_UNWIND ? "forced" : "?", which == &exception,
               (const char *)argument, _Unwind_GetRegionStart(context) == (_Unwind_Ptr)main);
        longjmp(back, frames > 3);
    }
    return _URC_NO_REASON;
}
void force_it(void) {
    int kept __attribute__((cleanup(cleanup))) = 2;
    _Unwind_ForcedUnwind(&exception, stop, "hello");
    puts("not reached");
}
int main(void) {
    for (int again = 0; again < 2; again++) {
        puts("caught by C++");
        prepare();
        through(raise_it);
        puts("forced");
        prepare();
        if (!setjmp(back)) through(force_it);
        else puts("  back in main");
    }
    puts("nobody catches");
    prepare();
    raise_it();
    return 0;
}
