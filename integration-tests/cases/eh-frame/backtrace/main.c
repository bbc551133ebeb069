// _Unwind_Backtrace goes through all frames of several objects and comes out at main.
//#Flags: -O0 -fno-optimize-sibling-calls | -O2 -fno-optimize-sibling-calls
#include <stdio.h>
#include <unwind.h>
int down(int depth, int (*)(void));
int main(void);
static int depth, at_main = -1;
static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *argument) {
    (void)argument;
    void *start = _Unwind_FindEnclosingFunction((void *)(_Unwind_GetIP(context) - 1));
    if (start == (void *)main) at_main = depth;
    depth++;
    return at_main >= 0 ? _URC_NORMAL_STOP : _URC_NO_REASON;
}
static __attribute__((noinline)) int walk(void) {
    _Unwind_Backtrace(visit, 0);
    return at_main;
}
int main(void) {
    printf("%d frames to main\n", down(50, walk));
    return 0;
}
