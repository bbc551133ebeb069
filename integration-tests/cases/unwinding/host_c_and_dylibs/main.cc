// One exception through JIT'd C++, the C library (qsort), the C++ library (std::call_once, std::sort on a thread), JIT'd C of a dylib and a function of a real shared
// library; what was only half done can be done again.
//#Shared: libhost.so host.cc
//#Dylib: P p.c
//#FlagsFor: p.c -fexceptions
//#Dylib: Q q.cc needs P
//#Needs: P Q
//#Libs: -lpthread
//#Pic: pic
#include "chain.h"
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <mutex>
#include <thread>
static int (*next)(int);
static int by_qsort(const void *, const void *) { Note note{"callback of qsort"}; return next(1); }
static int through_qsort(int n) { int values[] = {n, 2, 1}; Note note{"through_qsort"}; std::qsort(values, 3, sizeof(int), by_qsort); return values[0]; }
static int through_sort(int n) {
    int values[] = {n, 2, 1};
    std::sort(values, values + 3, [](int a, int b) { Note note{"comparison"}; return next(1) < 0 || a < b; });
    return values[0];
}
static std::once_flag once;
static int tries;
static int through_call_once(int n) {
    int result = 0;
    std::call_once(once, [&] { Note note{"call_once"}; tries++; result = next(n); });
    return result;
}
static int thrower(int n) { if (n > 0) throw Thrown{n}; return 5; }
int main() {
    int (*const ways[])(int) = {through_qsort, through_sort, through_call_once};
    const char *names[] = {"qsort", "sort", "call_once"};
    for (int way = 0; way < 3; way++) {
        for (auto *passing : {c_frame, host_frame, q_frame}) {
            std::printf("%s\n", names[way]);
            next = [](int n) { return q_frame([](int m) { return host_frame([](int k) { return c_frame(thrower, k); }, m); }, n); };
            try {
                passing(ways[way], 3);
                std::puts("not reached");
            } catch (const Thrown &thrown) {
                std::printf("  caught %d\n", thrown.n);
            }
        }
    }
    next = [](int) { return thrower(0); };
    std::printf("%d after %d tries, then %d\n", through_call_once(0), tries, through_call_once(0));
    std::thread([] {
        next = thrower;
        try {
            host_frame(through_sort, 1);
        } catch (const Thrown &thrown) {
            std::printf("on a thread: %d\n", thrown.n);
        }
    }).join();
    return 0;
}
