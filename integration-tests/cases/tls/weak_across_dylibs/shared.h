#pragma once
#include <cstdio>
struct Made {
    int number = 100;
    Made() { std::puts("+made"); }
    ~Made() { std::printf("-made %d\n", number); }
};
inline thread_local int plain = 5;
inline thread_local Made made;
int *b_plain();
Made *b_made();
