#include <stdio.h>
#include <stdlib.h>
__attribute__((constructor(200))) static void init() {
    atexit([] { puts("handler of init"); });
}
struct Static {
    ~Static() {
        puts("static object");
        atexit([] { puts("of the static object"); });
    }
};
static Static object;
__attribute__((destructor)) static void fini() {
    puts("finalizer");
    atexit([] { puts("of the finalizer"); });
}
extern "C" void work() {
    atexit([] {
        puts("handler after init");
        atexit([] { puts("of the handler"); });
    });
}
