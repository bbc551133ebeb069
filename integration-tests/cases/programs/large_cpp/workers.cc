#include "workers.h"
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <queue>
#include <stdexcept>
#include <thread>
#include <vector>
long sum_of_squares_by(int threads, long count) {
    std::mutex lock;
    std::condition_variable more;
    std::queue<long> waiting;
    std::atomic<long> total{0};
    std::exception_ptr failure;
    bool closed = false;
    std::vector<std::thread> pool;
    for (int i = 0; i < threads; i++)
        pool.emplace_back([&] {
            for (;;) {
                std::unique_lock<std::mutex> held(lock);
                more.wait(held, [&] { return closed || !waiting.empty(); });
                if (waiting.empty()) return;
                long value = waiting.front();
                waiting.pop();
                held.unlock();
                try {
                    if (value == 13) throw std::range_error("thirteen");
                    total += value * value;
                } catch (...) {
                    std::lock_guard<std::mutex> again(lock);
                    failure = std::current_exception();
                }
            }
        });
    for (long value = 1; value <= count; value++) {
        std::lock_guard<std::mutex> held(lock);
        waiting.push(value);
        more.notify_one();
    }
    {
        std::lock_guard<std::mutex> held(lock);
        closed = true;
    }
    more.notify_all();
    for (auto &thread : pool) thread.join();
    try {
        if (failure) std::rethrow_exception(failure);
    } catch (const std::range_error &) {
        total += 169;
    }
    return total;
}
