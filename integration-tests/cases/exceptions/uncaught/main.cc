// An uncaught exception ends in std::terminate: the handler runs, then SIGABRT.
//#Exit: 134
//#Pic: pic nopic
#include <cstdio>
#include <exception>
static void goodbye() {
    std::puts("terminate");
    std::fflush(nullptr);
    __builtin_abort();
}
struct Note {
    ~Note() { std::puts("not told: nothing is unwound"); }
};
int main() {
    std::set_terminate(goodbye);
    Note note;
    throw 1;
}
