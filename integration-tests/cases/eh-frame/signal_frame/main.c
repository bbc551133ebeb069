// A frame that says that it is a signal's (augmentation S): unwinding takes the exact address in the frame below.
//#Flags: -O1 -fexceptions | -O2 -fexceptions
#include <stdio.h>
#include <unwind.h>
int through_signal_frame(int (*)(void));
static int frames, found;
extern const char through_signal_frame_end[];
static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *argument) {
    (void)argument;
    int before = 0;
    _Unwind_Ptr ip = _Unwind_GetIPInfo(context, &before);
    if (ip >= (_Unwind_Ptr)through_signal_frame && ip < (_Unwind_Ptr)through_signal_frame_end) {
        found = 1;
        printf("signal frame: address is %s\n", before ? "exact" : "after the call");
    }
    return ++frames == 100 ? _URC_NORMAL_STOP : _URC_NO_REASON;
}
static __attribute__((noinline)) int count(void) {
    _Unwind_Backtrace(visit, 0);
    return found;
}
int main(void) {
    printf("%d\n", through_signal_frame(count));
    return frames < 100 ? 0 : 1;
}
