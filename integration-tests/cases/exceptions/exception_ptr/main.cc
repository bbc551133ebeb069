// Exceptions carried between threads, nested exceptions, and the current one.
//#Libs: -lpthread
//#Pic: pic nopic
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
static std::exception_ptr carried;
static void worker() {
    try {
        try {
            throw std::out_of_range("inner");
        } catch (...) {
            std::throw_with_nested(std::runtime_error("outer"));
        }
    } catch (...) {
        carried = std::current_exception();
    }
}
static void tell(const std::exception &error, int depth) {
    std::printf("%*s%s\n", depth * 2, "", error.what());
    try {
        std::rethrow_if_nested(error);
    } catch (const std::exception &inner) {
        tell(inner, depth + 1);
    }
}
int main() {
    std::thread(worker).join();
    try {
        std::rethrow_exception(carried);
    } catch (const std::runtime_error &error) {
        tell(error, 0);
    }
    return 0;
}
