#include "open.h"
#include <stdexcept>
__attribute__((constructor)) static void init() {
    puts("init P begins");
    try {
        open_or_tell("Q");
    } catch (const std::exception &error) {
        printf("caught: %s\n", error.what());
    }
    puts("init P ends");
}
__attribute__((destructor)) static void fini() { puts("fini P"); }
