#include <cstdio>
#include <cstdlib>
static int compare(const void *a, const void *b) {
    int left = *static_cast<const int *>(a), right = *static_cast<const int *>(b);
    if (left == 13 || right == 13) throw 13;
    return left - right;
}
struct Guard {
    ~Guard() { std::puts("leaving sorted"); }
};
int sorted(int *values, int count) {
    Guard guard;
    std::qsort(values, count, sizeof *values, compare);
    return values[0] * 100 + values[1] * 10 + values[2];
}
