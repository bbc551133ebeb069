#include <stdio.h>
#include <stdexcept>
__attribute__((constructor)) static void init() {
    puts("init P");
    throw std::out_of_range("11");
}
