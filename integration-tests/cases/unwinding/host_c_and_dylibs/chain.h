#include <cstdio>
struct Thrown { int n; };
struct Note {
    const char *text;
    ~Note() { std::printf("  leaving %s\n", text); }
};
extern "C" int c_frame(int (*function)(int), int n);
extern "C" int host_frame(int (*function)(int), int n);
extern "C" int q_frame(int (*function)(int), int n);
