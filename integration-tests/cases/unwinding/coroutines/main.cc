// Exceptions in C++20 coroutines: out of a body into its promise, rethrown at co_await through nested ones, out of a generator that is half consumed, while another is
// suspended; the objects of every frame are destroyed, also of one that is never resumed.
//#CompileFlags: -std=c++20
//#Pic: pic nopic
#include <coroutine>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <utility>
struct Note {
    const char *text;
    ~Note() { std::printf("  leaving %s\n", text); }
};
template <class T> struct Task {
    struct promise_type {
        T value{};
        std::exception_ptr failure;
        std::coroutine_handle<> waiting;
        Task get_return_object() { return Task{std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        struct Final {
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) noexcept {
                auto next = self.promise().waiting;
                return next ? next : std::noop_coroutine();
            }
            void await_resume() noexcept {}
        };
        Final final_suspend() noexcept { return {}; }
        void return_value(T given) { value = given; }
        void unhandled_exception() { failure = std::current_exception(); }
    };
    std::coroutine_handle<promise_type> handle;
    explicit Task(std::coroutine_handle<promise_type> handle) : handle(handle) {}
    Task(Task &&other) : handle(std::exchange(other.handle, nullptr)) {}
    ~Task() { if (handle) handle.destroy(); }
    bool await_ready() { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> who) { handle.promise().waiting = who; return handle; }
    T await_resume() { return result(); }
    T result() {
        if (handle.promise().failure) std::rethrow_exception(handle.promise().failure);
        return handle.promise().value;
    }
    T run() { handle.resume(); return result(); }
};
struct Numbers {
    struct promise_type {
        int value;
        std::exception_ptr failure;
        Numbers get_return_object() { return Numbers{std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(int given) { value = given; return {}; }
        void return_void() {}
        void unhandled_exception() { throw; }
    };
    std::coroutine_handle<promise_type> handle;
    explicit Numbers(std::coroutine_handle<promise_type> handle) : handle(handle) {}
    Numbers(const Numbers &) = delete;
    ~Numbers() { handle.destroy(); }
    int next() { handle.resume(); return handle.done() ? -1 : handle.promise().value; }
};
static Numbers numbers(int end) {
    Note note{"numbers"};
    for (int n = 0;; n++) {
        if (n == end) throw std::range_error("no more numbers");
        co_yield n;
    }
}
static Task<int> inner(int n) {
    Note note{"inner"};
    if (n > 2) throw std::runtime_error("inner");
    co_return n * 10;
}
static Task<int> outer(int n) {
    Note note{"outer"};
    try {
        Note tried{"try of outer"};
        co_return co_await inner(n) + 1;
    } catch (const std::runtime_error &error) {
        std::printf("  outer caught %s\n", error.what());
        if (n > 3) throw std::logic_error("outer");
    }
    co_return -1;
}
int main() {
    for (int n = 1; n < 5; n++) {
        try {
            std::printf("%d gives %d\n", n, outer(n).run());
        } catch (const std::logic_error &error) {
            std::printf("%d gives %s\n", n, error.what());
        }
    }
    auto suspended = numbers(10);
    std::printf("%d\n", suspended.next());
    auto failing = numbers(2);
    try {
        for (;;) std::printf("%d\n", failing.next());
    } catch (const std::range_error &error) {
        std::printf("%s, done %d\n", error.what(), failing.handle.done());
    }
    std::printf("%d\n", suspended.next());
    auto never = outer(1);
    return 0;
}
