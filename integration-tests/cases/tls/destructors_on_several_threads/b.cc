#include <atomic>
#include <stdio.h>
extern "C" std::atomic<int> made;
extern "C" int start;
std::atomic<int> made;
int start;
struct Note {
    int *destroyed;
    Note() { made++; }
    ~Note() { ++*destroyed; }
};
__attribute__((constructor)) static void init() { start++; }
__attribute__((destructor)) static void fini() { puts("fini B"); }
extern "C" int use(int *destroyed) {
    thread_local Note note;
    note.destroyed = destroyed;
    return made;
}
