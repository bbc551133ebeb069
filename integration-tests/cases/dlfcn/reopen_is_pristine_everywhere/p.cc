#include <stdio.h>
static int data = 10, bss, *pointer = &data;
static thread_local int tls_data = 1000, tls_bss;
static int start() {
    puts("a static of a function is made");
    return 100000;
}
__attribute__((constructor)) static void init() { bss += 100; }
extern "C" int work() {
    static int local = start();
    data++, bss++, tls_data++, tls_bss++, local++;
    return *pointer + bss + tls_data + tls_bss + local;
}
