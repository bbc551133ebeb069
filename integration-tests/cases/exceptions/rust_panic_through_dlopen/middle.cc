#include <stdio.h>
extern "C" void *__orc_rt_jit_dlopen(const char *name, int mode);
struct Loud {
    ~Loud() { puts("destructor of C++"), fflush(stdout); }
};
static void *inner(const char *name) {
    try {
        return __orc_rt_jit_dlopen(name, 2);
    } catch (...) {
        puts("C++ sees something foreign"), fflush(stdout);
        throw;
    }
}
extern "C" void *open_through_cpp(const char *name) {
    Loud loud;
    return inner(name);
}
