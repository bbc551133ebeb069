// std::call_once keeps its callable in two thread-local variables of the C++ runtime; random numbers and locales have their own state.
//#Libs: -lpthread
//#Flags: -O0 | -O2 | -O2 -fno-plt | -O2 -mtls-dialect=gnu2 | -O1 -ftls-model=initial-exec | -O1 -mcmodel=medium
//#Pic: pic pie
//#Only: -O0 | -O2 pie | pic
#include <cstdio>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>
static std::once_flag flag, failing;
static int count;
int main() {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) threads.emplace_back([i] { std::call_once(flag, [i] { count += 1 + 0 * i; }); });
    for (auto &thread : threads) thread.join();
    std::printf("once: %d\n", count);
    for (int i = 0; i < 3; i++) {
        try {
            std::call_once(failing, [i] {
                if (i < 2) throw std::runtime_error("again");
                std::puts("third time");
            });
        } catch (const std::exception &error) {
            std::puts(error.what());
        }
    }
    auto answer = std::async(std::launch::async, [] { return 42; });
    std::packaged_task<int(int)> task([](int x) { return x * 2; });
    auto later = task.get_future();
    std::thread(std::move(task), 21).join();
    std::printf("%d %d\n", answer.get(), later.get());
}
