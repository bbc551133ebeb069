// A handler of SIGSEGV, SIGBUS or SIGFPE throws, on the thread's stack or on one of its own, for a fault in a function without a frame, one with
// variables on a dynamic stack, one in another dylib, and one of C; destructors run on the way, and the next fault does the same.
//#Pic: pic
//#Flags: -O0 -fnon-call-exceptions -fasynchronous-unwind-tables | -O2 -fnon-call-exceptions -fasynchronous-unwind-tables -fomit-frame-pointer
// clang has no exceptions of instructions outside of calls.
//#Compiler: gcc
//#Dylib: P p.cc
#include <alloca.h>
#include <csignal>
#include <cstdio>
#include <initializer_list>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
struct Note {
    const char *text;
    ~Note() { std::printf("  leaving %s\n", text); }
};
struct Fault { int signal; };
static void on_fault(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    sigprocmask(SIG_UNBLOCK, &set, nullptr);
    throw Fault{signal};
}
extern "C" int c_frame(int (*function)(int), int n);
int in_another_dylib(volatile int *where);
int *volatile nowhere;
int *volatile cut_off;
volatile int zero;
static __attribute__((noinline)) int leaf(int n) { return *nowhere + n; }
static __attribute__((noinline)) int quotient(int n) { Note note{"quotient"}; return n / zero; }
static __attribute__((noinline)) int dynamic_stack(int n) {
    Note note{"dynamic_stack"};
    char *room = static_cast<char *>(alloca(n * 100));
    std::memset(room, n, n * 100);
    return *nowhere + room[n];
}
static int other(int) { Note note{"other"}; return in_another_dylib(nowhere); }
static int beyond(int) { return *cut_off; }
static int through_c(int n) { return c_frame(leaf, n); }
int main() {
    int file = memfd_create("cut", 0);
    cut_off = static_cast<int *>(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, file, 0));
    static char stack[1 << 16];
    stack_t alternate{};
    alternate.ss_sp = stack;
    alternate.ss_size = sizeof stack;
    sigaltstack(&alternate, nullptr);
    for (int flags : {0, SA_ONSTACK}) {
        struct sigaction action{};
        action.sa_handler = on_fault;
        action.sa_flags = flags;
        for (int signal : {SIGSEGV, SIGBUS, SIGFPE}) sigaction(signal, &action, nullptr);
        int number = 0;
        for (auto *function : {leaf, quotient, dynamic_stack, other, beyond, through_c}) {
            for (int again = 0; again < 2; again++) {
                try {
                    Note note{"try"};
                    function(3);
                    std::puts("not reached");
                } catch (const Fault &fault) {
                    std::printf("%d: caught signal %d\n", number, fault.signal);
                }
            }
            number++;
        }
    }
    return 0;
}
