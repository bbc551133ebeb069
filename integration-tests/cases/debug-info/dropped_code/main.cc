// Debug information that refers to dropped COMDAT functions and collected sections.
//#Flags: -g -O0 -ffunction-sections | -g -O2 -ffunction-sections
//#Pic: pic nopic
//#NativeFlags: -Wl,--gc-sections
//#NotOn: riscv64 GNU ld 2.40 dies of a signal when it drops such sections
#include <cstdio>
template <class T> __attribute__((noinline)) T twice(T x) { return x + x; }
int a();
int unused() { return twice(5L); }
int main() {
    std::printf("%d %d\n", twice(2), a());
    return 0;
}
