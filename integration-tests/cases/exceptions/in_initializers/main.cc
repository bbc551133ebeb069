// Initializers may throw and catch; so may finalizers and atexit handlers.
//#Pic: pic nopic
#include <cstdio>
#include <cstdlib>
static int attempt(int n) {
    try {
        if (n % 2) throw n;
        return n;
    } catch (int caught) {
        return -caught;
    }
}
static int at_start = attempt(7);
__attribute__((constructor(101))) static void init() { std::printf("init %d\n", attempt(3)); }
__attribute__((destructor)) static void fini() { std::printf("fini %d\n", attempt(5)); }
int main() {
    std::atexit([] { std::printf("handler %d\n", attempt(9)); });
    std::printf("main %d\n", at_start);
    return 0;
}
