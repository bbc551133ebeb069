// `exit` destroys the thread-local objects of the thread that calls it, then runs handlers; those of others stay.
//#Libs: -lpthread
//#Exit: 7
//#Pic: pic pie
#include <cstdio>
#include <cstdlib>
#include <thread>
struct Note {
    const char *text;
    ~Note() { std::printf("-%s\n", text); }
};
thread_local Note note{"note"};
int main() {
    std::atexit([] { std::puts("atexit"); });
    note.text = "main's";
    std::thread([] {
        note.text = "thread's";
        std::exit(7);
    }).join();
    return 0;
}
