#include <string>
template <int N> __attribute__((noinline)) inline int thrower(int x) {
    std::string keep(100 + N, 'x');
    if (x > 0) throw (int)keep.size();
    return x;
}
template <int N> __attribute__((noinline)) inline int through(int x) {
    std::string keep(10, 'y');
    return thrower<N>(x) + (int)keep.size();
}
