#include <cstdio>
struct NoteOfP { ~NoteOfP() { std::puts("  leaving the dylib"); } };
int in_another_dylib(volatile int *where) { NoteOfP note; return *where; }
