// longjmp and siglongjmp over JIT'd frames, frames of the C library (qsort) and of a dylib, out of handlers of SIGSEGV and SIGUSR1, out of a catch block; exceptions work
// afterwards. No destructor has to run in what is left (that would be undefined).
//#Pic: pic nopic
//#Dylib: P p.c
//#FlagsFor: p.c -fexceptions -fno-optimize-sibling-calls
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
extern "C" void deep(int depth, void (*function)());
static jmp_buf back;
static sigjmp_buf back_from_signal;
static int *volatile nowhere;
static void jump() { std::longjmp(back, 3); }
static int compare(const void *, const void *) { deep(5, jump); return 0; }
static void sorted() { int values[] = {2, 1, 3}; std::qsort(values, 3, sizeof(int), compare); }
static void on_signal(int signal) { siglongjmp(back_from_signal, signal); }
static void fault() { *nowhere = 1; }
static void sent() { raise(SIGUSR1); }
struct Note { int n; ~Note() { std::printf("  leaving %d\n", n); } };
static void thrower() { throw 5; }
static void exceptions() {
    try { Note note{1}; deep(3, thrower); } catch (int n) { std::printf("  caught %d\n", n); }
}
int main() {
    std::signal(SIGSEGV, on_signal);
    std::signal(SIGUSR1, on_signal);
    volatile int round = 0;
    for (round = 0; round < 2; round = round + 1) {
        switch (setjmp(back)) {
        case 0: deep(100, jump); std::puts("not reached"); break;
        default: std::puts("jumped over 100 frames");
        }
        exceptions();
        switch (setjmp(back)) {
        case 0: deep(3, sorted); std::puts("not reached"); break;
        default: std::puts("jumped over qsort");
        }
        exceptions();
        switch (int signal = sigsetjmp(back_from_signal, 1)) {
        case 0: deep(10, fault); std::puts("not reached"); break;
        default: std::printf("jumped out of the handler of %d\n", signal);
        }
        exceptions();
        switch (int signal = sigsetjmp(back_from_signal, 1)) {
        case 0: deep(10, sent); std::puts("not reached"); break;
        default: std::printf("jumped out of the handler of %d\n", signal);
        }
        exceptions();
    }
    return 0;
}
