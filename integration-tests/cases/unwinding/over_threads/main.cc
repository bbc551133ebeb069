// Exceptions that are carried from thread to thread: std::exception_ptr, std::promise, std::async, a nested one unwrapped on another thread; thrown by threads that were
// started in JIT'd code and in the library, at the same time; and one that leaves a function that may not throw.
//#Libs: -lpthread
//#Pic: pic nopic
//#Exit: 134
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
struct Note {
    std::string *log;
    std::string text;
    ~Note() { *log += text + ";"; }
};
struct Own : std::runtime_error {
    std::shared_ptr<int> shared;
    Own(const char *text, std::shared_ptr<int> shared) : runtime_error(text), shared(std::move(shared)) {}
};
static void told(const std::exception &error, int depth = 0) {
    std::printf("%*s%s\n", 2 * depth, "", error.what());
    try {
        std::rethrow_if_nested(error);
    } catch (const std::exception &inner) {
        told(inner, depth + 1);
    } catch (int n) {
        std::printf("%*s%d\n", 2 * depth + 2, "", n);
    }
}
static void nested(int depth) {
    try {
        if (depth == 0) throw 42;
        nested(depth - 1);
    } catch (...) {
        std::throw_with_nested(std::runtime_error("level " + std::to_string(depth)));
    }
}
static void forbidden() noexcept { throw std::runtime_error("forbidden"); }
int main() {
    auto shared = std::make_shared<int>(5);
    std::exception_ptr carried;
    std::thread([&] {
        try {
            throw Own("carried", shared);
        } catch (...) {
            carried = std::current_exception();
        }
    }).join();
    std::printf("uses %ld\n", shared.use_count());
    for (int i = 0; i < 3; i++) {
        std::thread([&] {
            try {
                std::rethrow_exception(carried);
            } catch (const Own &own) {
                std::printf("%s %d\n", own.what(), *own.shared);
            }
        }).join();
    }
    carried = nullptr;
    std::printf("uses %ld\n", shared.use_count());
    auto future = std::async(std::launch::async, [] { nested(3); });
    try {
        future.get();
    } catch (const std::exception &error) {
        told(error);
    }
    std::promise<int> promise;
    std::thread setter([&] { promise.set_exception(std::make_exception_ptr(std::out_of_range("promised"))); });
    try {
        promise.get_future().get();
    } catch (const std::out_of_range &error) {
        std::puts(error.what());
    }
    setter.join();
    std::vector<std::thread> threads;
    std::vector<std::string> logs(8);
    for (int i = 0; i < 8; i++) {
        threads.emplace_back([i, &log = logs[i]] {
            for (int round = 0; round < 500; round++) {
                log.clear();
                std::function<void(int)> down = [&](int depth) {
                    Note note{&log, std::to_string(depth)};
                    if (depth == 0) throw i * 1000 + round;
                    down(depth - 1);
                };
                try {
                    down(5);
                } catch (int n) {
                    if (n != i * 1000 + round) std::abort();
                }
            }
        });
    }
    for (auto &thread : threads) thread.join();
    for (auto &log : logs) std::puts(log.c_str());
    std::set_terminate([] {
        try {
            std::rethrow_exception(std::current_exception());
        } catch (const std::exception &error) {
            std::printf("terminated by %s\n", error.what());
        }
        std::fflush(stdout);
        std::abort();
    });
    forbidden();
    return 0;
}
