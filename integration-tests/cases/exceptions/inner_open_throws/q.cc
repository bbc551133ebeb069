#include <stdio.h>
#include <stdexcept>
__attribute__((constructor)) static void init() {
    puts("init Q");
    throw std::runtime_error("no luck");
}
__attribute__((destructor)) static void fini() { puts("not reached: fini Q"); }
