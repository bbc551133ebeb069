#include <stdio.h>
__attribute__((constructor)) static void init() {
    puts("init Q");
    throw "main";
}
