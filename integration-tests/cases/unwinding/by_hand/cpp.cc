#include <cstdio>
extern "C" {
#include "frames.h"
void force_it();
}
struct Note { const char *text; ~Note() { std::printf("  leaving %s\n", text); } };
static void rethrows(void (*function)()) {
    Note note{"rethrows"};
    try {
        middle(function);
    } catch (int) {
        std::puts("not reached");
    } catch (...) {
        std::puts("  C++ sees something");
        throw;
    }
}
extern "C" void through(void (*function)()) {
    try {
        Note note{"through"};
        rethrows(function);
    } catch (...) {
        // What is forced may not be ended here.
        if (function == force_it) throw;
        std::puts("  C++ ends it");
    }
}
