#include <typeinfo>
template <class T> __attribute__((noinline)) T twice(T x) { return x + x; }
inline int counter = 3;
inline int &slot() {
    static int value = counter;
    return value;
}
struct Shape {
    virtual ~Shape() {}
    virtual int area() { return 1; }
};
