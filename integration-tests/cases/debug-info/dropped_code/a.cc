template <class T> __attribute__((noinline)) T twice(T x) { return x + x; }
int unused_a() { return twice(7u); }
int a() { return twice(3); }
