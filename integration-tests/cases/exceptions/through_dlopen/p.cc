struct One {
    virtual ~One() {}
};
struct Two : One {};
extern "C" void work(int n) {
    if (n == 0) throw 6;
    One one;
    One &base = one;
    (void)dynamic_cast<Two &>(base);
}
