#include <cstdio>
struct Say {
    const char *name;
    explicit Say(const char *n) : name(n) { std::printf("+ %s\n", name); }
    ~Say() { std::printf("- %s\n", name); }
};
