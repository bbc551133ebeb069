// In which order do initializers and finalizers run?
#include <cstdio>
#include <cstdlib>

struct Object {
    const char *name;
    explicit Object(const char *name) : name(name) { std::printf("begin %s\n", name); }
    ~Object() { std::printf("end %s\n", name); }
};

__attribute__((init_priority(300))) Object late("priority 300");
__attribute__((init_priority(200))) Object early("priority 200");
Object plain("no priority");
__attribute__((constructor)) static void function() { std::puts("constructor function"); }
static void handler() { std::puts("atexit handler"); }

int main() {
    static Object local("static of main");
    std::atexit(handler);
    std::puts("main");
    return 0;
}
