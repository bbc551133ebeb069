#include <cstdio>

static struct Second {
    Second() { std::puts("begin second"); }
    ~Second() { std::puts("end second"); }
} second;

extern "C" int answer() { return 42; }
