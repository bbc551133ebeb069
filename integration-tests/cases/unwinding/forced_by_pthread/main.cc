// Forced unwinding: pthread_exit and pthread_cancel (deferred and at any instruction) go through JIT'd frames of C++ and C in two dylibs. Destructors run, catch
// (...) sees it and passes it on, pthread_cleanup_push of C and of C++ run, in the order of the frames.
//#Libs: -lpthread
//#Pic: pic
//#Dylib: P p.c
//#FlagsFor: p.c -fexceptions
#include <cstdio>
#include <cxxabi.h>
#include <pthread.h>
#include <stdexcept>
#include <unistd.h>
struct Note {
    const char *text;
    ~Note() { std::printf("  leaving %s\n", text); }
};
extern "C" void c_frame(void (*function)(void *), void *argument, const char *name);
static thread_local Note of_thread{"the thread's own"};
static pthread_barrier_t ready;
static void told(void *text) { std::printf("  handler %s\n", static_cast<const char *>(text)); }
static void exits(void *) {
    Note note{"exits"};
    pthread_exit(reinterpret_cast<void *>(7));
}
static void waits(void *) {
    Note note{"waits"};
    pthread_barrier_wait(&ready);
    for (;;) pause();
}
static void polls(void *) {
    Note note{"polls"};
    pthread_barrier_wait(&ready);
    for (;;) pthread_testcancel();
}
static void runs(void *) {
    int old;
    pthread_barrier_wait(&ready);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    for (volatile int i = 0;; i = i + 1) {}
}
static void passes_on(void *argument) {
    try {
        Note note{"the try"};
        c_frame(reinterpret_cast<void (*)(void *)>(argument), nullptr, "inner");
    } catch (const std::exception &) {
        std::puts("  wrong: an exception of the library");
    } catch (const abi::__forced_unwind &) {
        std::puts("  seen as what it is");
        throw;
    } catch (...) {
        std::puts("  wrong: only as something");
        throw;
    }
}
static void catches_all(void *argument) {
    try {
        passes_on(argument);
    } catch (...) {
        std::puts("  seen by catch (...)");
        throw;
    }
}
static void *thread(void *function) {
    of_thread.text = "the thread's own";
    Note note{"the thread's function"};
    pthread_cleanup_push(told, const_cast<char *>("of C++"));
    c_frame(catches_all, function, "outer");
    pthread_cleanup_pop(0);
    return nullptr;
}
static void one(const char *name, void (*function)(void *), bool cancel) {
    std::puts(name);
    pthread_t id;
    void *result;
    pthread_create(&id, nullptr, thread, reinterpret_cast<void *>(function));
    if (cancel) {
        pthread_barrier_wait(&ready);
        pthread_cancel(id);
    }
    pthread_join(id, &result);
    std::printf("  ended: %s\n", result == PTHREAD_CANCELED ? "cancelled" : result == reinterpret_cast<void *>(7) ? "7" : "?");
}
int main() {
    pthread_barrier_init(&ready, nullptr, 2);
    for (int again = 0; again < 2; again++) {
        one("pthread_exit", exits, false);
        one("cancelled in a system call", waits, true);
        one("cancelled where it asks", polls, true);
        one("cancelled at any instruction", runs, true);
    }
    return 0;
}
