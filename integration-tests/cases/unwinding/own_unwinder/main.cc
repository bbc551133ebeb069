// The program brings an unwinder of its own (libgcc_eh.a among its inputs, as -static-libgcc has it): what the C++ library throws is resumed by that one, and a walk of its own goes through JIT'd
// frames and those of the C library.
//#Make: libgcc_eh.a = cp "$($CC -print-file-name=libgcc_eh.a)" libgcc_eh.a
//#Inputs: main.cc other.cc libgcc_eh.a
//#Pic: pic pie
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <stdexcept>
#include <unwind.h>
struct Note {
    const char *text;
    ~Note() { std::printf("  leaving %s\n", text); }
};
int other(int (*function)(int), int n);
int main();
static _Unwind_Reason_Code each(struct _Unwind_Context *context, void *argument) {
    void *start = _Unwind_FindEnclosingFunction(reinterpret_cast<void *>(_Unwind_GetIP(context)));
    if (start == reinterpret_cast<void *>(main)) *static_cast<bool *>(argument) = true;
    return _URC_NO_REASON;
}
static int walks(int n) {
    bool found = false;
    _Unwind_Backtrace(each, &found);
    std::printf("  main is %s\n", found ? "found" : "lost");
    return n;
}
static int throws(int n) {
    Note note{"throws"};
    if (n > 1) throw std::runtime_error("thrown");
    return walks(n);
}
static int (*next)(int);
static int compare(const void *, const void *) { return other(next, 3); }
static int sorted(int n) {
    int values[] = {n, 1};
    Note note{"sorted"};
    std::qsort(values, 2, sizeof(int), compare);
    return values[0];
}
int main() {
    for (auto *function : {throws, walks}) {
        next = function;
        for (int n = 1; n < 3; n++) {
            try {
                other(n == 1 ? function : sorted, n);
            } catch (const std::exception &error) {
                std::printf("caught %s\n", error.what());
            }
        }
    }
    return 0;
}
