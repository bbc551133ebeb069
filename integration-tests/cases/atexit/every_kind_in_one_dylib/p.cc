#include <stdio.h>
#include <stdlib.h>
extern "C" void say(const char *text) { puts(text); }
extern "C" int __cxa_atexit(void (*)(void *), void *, void *);
extern "C" void *__dso_handle;
struct Say {
    const char *name;
    explicit Say(const char *name) : name(name) {}
    ~Say() { printf("- %s\n", name); }
};
__attribute__((constructor(150))) static void init() {
    atexit([] { puts("atexit of init"); });
}
static Say object("static");
__attribute__((destructor)) static void fini() { puts("fini"); }
__attribute__((destructor(300))) static void fini300() { puts("fini 300"); }
__attribute__((destructor(200))) static void fini200() { puts("fini 200"); }
extern "C" void work() {
    __cxa_atexit([](void *) { puts("cxa"); }, nullptr, &__dso_handle);
    atexit([] { puts("atexit"); });
    static Say local("local");
    on_exit([](int status, void *) { printf("on_exit %d\n", status); }, nullptr);
    thread_local Say mine("thread_local");
    (void)mine.name, (void)local.name;
}
