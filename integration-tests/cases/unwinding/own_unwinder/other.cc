#include <cstdio>
struct NoteOfOther {
    ~NoteOfOther() { std::puts("  leaving other"); }
};
int other(int (*function)(int), int n) {
    NoteOfOther note;
    return function(n) + 1;
}
