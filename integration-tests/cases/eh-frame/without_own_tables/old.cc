struct Guard {
    int &value;
    ~Guard() { value++; }
};
static __attribute__((noinline)) int inner(int x) {
    if (x == 3) throw "thrown by old.cc";
    return x;
}
int old_style(int x) {
    int n = 0;
    Guard guard{n};
    return inner(x) + n;
}
