// An exception that meets noexcept ends in std::terminate.
//#Exit: 21
//#Pic: pic nopic
#include <cstdio>
#include <cstdlib>
#include <exception>
static int thrower() { throw 1; }
static int guarded() noexcept { return thrower(); }
int main() {
    std::set_terminate([] {
        std::puts("terminate");
        std::fflush(nullptr);
        std::_Exit(21);
    });
    try {
        return guarded();
    } catch (int) {
        std::puts("not reached");
    }
    return 0;
}
