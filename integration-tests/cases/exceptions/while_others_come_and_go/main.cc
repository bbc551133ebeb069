// Four threads throw, walk their stacks and are cancelled while a fifth opens and closes a dylib whose initializer throws and catches.
//#Dylib: P p.cc
//#Needs: none
//#Pic: pic pie
//#Libs: -lpthread
#include "orc_rt.h"
#include <atomic>
#include <cstdio>
#include <pthread.h>
#include <unistd.h>
#include <unwind.h>
static std::atomic<bool> stop{false};
static std::atomic<int> thrown[4], wrong{0}, cleaned{0};
struct Clean {
    ~Clean() { cleaned++; }
};
static _Unwind_Reason_Code frame(_Unwind_Context *context, void *found) {
    void *function = _Unwind_FindEnclosingFunction((void *)_Unwind_GetIP(context));
    if (function == (void *)*(void (**)(int))found) *(void **)found = nullptr;
    return _URC_NO_REASON;
}
static void __attribute__((noinline)) three(int n) {
    Clean clean;
    if (n >= 0) throw n;
}
static void __attribute__((noinline)) walks(int n) {
    void (*volatile self)(int) = walks;
    void *looked_for = (void *)self;
    _Unwind_Backtrace(frame, &looked_for);
    if (n >= 0 && looked_for) wrong++;
}
static void __attribute__((noinline)) two(int n) {
    Clean clean;
    walks(n);
    three(n);
}
static void *throws(void *number) {
    std::atomic<int> &count = thrown[(long)number];
    while (!stop) {
        try {
            two(count);
            wrong++;
        } catch (int n) {
            if (n != count) wrong++;
        }
        count++;
    }
    return nullptr;
}
static std::atomic<int> left{0};
struct Leave {
    ~Leave() { left++; }
};
static void *waits(void *) {
    Leave leave;
    for (;;) pause();
}
static bool all_have_thrown(int least) {
    for (auto &count : thrown)
        if (count < least) return false;
    return true;
}
int main() {
    pthread_t threads[4];
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], nullptr, throws, (void *)i);
    int opened = 0, cancelled = 0;
    while (opened < 100 || !all_have_thrown(300)) {
        void *p = __orc_rt_jit_dlopen("P", RTLD_NOW);
        if (!p) return std::printf("no P: %s\n", __orc_rt_jit_dlerror()), 1;
        auto caught = (int (*)())__orc_rt_jit_dlsym(p, "caught");
        if (caught() != 11) wrong++;
        if (__orc_rt_jit_dlclose(p) != 0) wrong++;
        if (opened++ % 10 == 0) {
            pthread_t thread;
            void *result;
            pthread_create(&thread, nullptr, waits, nullptr);
            pthread_cancel(thread);
            pthread_join(thread, &result);
            cancelled += result == PTHREAD_CANCELED;
        }
    }
    stop = true;
    int sum = 0;
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], nullptr);
        sum += thrown[i];
    }
    std::printf("wrong %d, each cleaned up twice: %d\n", wrong.load(), cleaned == 2 * sum);
    std::printf("every cancelled thread has left its frames: %d\n", cancelled > 0 && left == cancelled);
    return 0;
}
