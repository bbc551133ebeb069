// An exception thrown by a handler of SIGSEGV passes through the kernel's frame.
//#Pic: pic nopic
//#Flags: -O0 -fnon-call-exceptions | -O2 -fnon-call-exceptions
//#Compiler: gcc
#include <csignal>
#include <cstdio>
static void on_fault(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    sigprocmask(SIG_UNBLOCK, &set, nullptr);
    throw signal;
}
int *volatile nowhere;
int main() {
    std::signal(SIGSEGV, on_fault);
    for (int i = 0; i < 3; i++) {
        try {
            *nowhere = 1;
        } catch (int signal) {
            std::printf("caught %d\n", signal);
        }
    }
    return 0;
}
