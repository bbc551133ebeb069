#include <cstdlib>
#include <string>

struct Noted {
    std::string text{"a text that does not fit into the string itself"};
    ~Noted() { text.clear(); }
};
static Noted global;
/* Without a destructor, which would make the system's loader keep the library until the thread ends. */
static thread_local int local = 40;
static void at_exit() {}
static int handlers = std::atexit(at_exit);

extern "C" int f() {
    try {
        if (global.text.size() > 40) throw local + 2 + handlers;
    } catch (int number) {
        return number;
    }
    return 0;
}
