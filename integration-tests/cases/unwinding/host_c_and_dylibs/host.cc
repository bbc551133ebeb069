#include "chain.h"
int host_frame(int (*function)(int), int n) {
    Note note{"the shared library"};
    try {
        return function(n) + 1;
    } catch (const Thrown &thrown) {
        std::printf("  the library sees %d\n", thrown.n);
        throw;
    }
}
