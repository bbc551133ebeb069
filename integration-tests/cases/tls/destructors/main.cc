// Thread-local objects: made at first use, destroyed in reverse order at the end of their thread; those of main before atexit handlers.
//#Rule: 21
//#Libs: -lpthread
//#Pic: pic pie
#include <cstdio>
#include <cstdlib>
#include <thread>
struct Note {
    const char *text;
    explicit Note(const char *text) : text(text) { std::printf("+%s\n", text); }
    ~Note() { std::printf("-%s\n", text); }
};
struct AtExit {
    ~AtExit() { std::puts("static destroyed"); }
} at_exit;
thread_local Note one("one");
thread_local Note two("two");
static Note &lazy() {
    thread_local Note note("lazy");
    return note;
}
struct Chain {
    ~Chain() {
        std::puts("chain");
        lazy();
    }
};
int main() {
    std::atexit([] { std::puts("atexit"); });
    std::thread([] {
        std::puts(lazy().text);
        std::puts(two.text);
    }).join();
    std::thread([] {
        thread_local Chain chain;
        (void)&chain;
        std::puts("in chain");
    }).join();
    std::puts(one.text);
    lazy();
    std::puts("end");
    return 0;
}
