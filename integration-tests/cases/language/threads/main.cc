// std::thread, mutexes, condition variables, atomics, a C thread with a small stack.
//#Libs: -lpthread
//#Pic: pic nopic
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <pthread.h>
#include <thread>
#include <vector>
static std::mutex lock;
static std::condition_variable ready;
static std::atomic<int> total{0};
static int turn = 0;
static void work(int id) {
    std::unique_lock<std::mutex> held(lock);
    ready.wait(held, [&] { return turn == id; });
    std::printf("thread %d\n", id);
    turn++;
    total += id * id;
    ready.notify_all();
}
static void *small(void *argument) {
    *static_cast<int *>(argument) += 5;
    return argument;
}
int main() {
    std::vector<std::thread> threads;
    for (int i = 7; i >= 0; i--) threads.emplace_back(work, i);
    for (auto &thread : threads) thread.join();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    int value = 1;
    pthread_t thread;
    pthread_create(&thread, &attributes, small, &value);
    pthread_join(thread, nullptr);
    std::printf("%d %d\n", total.load(), value);
    return 0;
}
