__attribute__((noinline)) inline int next() {
    static int value = 0;
    return ++value;
}
