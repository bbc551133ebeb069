// Destructors of statics, atexit handlers and finalizers: exact reverse of what was registered, finalizers last.
//#Rule: 19
//#Pic: pic nopic
#include <cstdio>
#include <cstdlib>
struct Say {
    const char *name;
    explicit Say(const char *n) : name(n) { std::printf("+ %s\n", n); }
    ~Say() { std::printf("- %s\n", name); }
};
static Say global("global");
__attribute__((constructor)) static void init() { std::atexit([] { std::puts("handler of the initializer"); }); }
__attribute__((destructor)) static void fini() { std::puts("finalizer"); }
static Say &local() {
    static Say it("local");
    return it;
}
int main() {
    std::atexit([] { std::puts("handler before the local"); });
    local();
    std::atexit([] { std::puts("handler after the local"); });
    return 0;
}
