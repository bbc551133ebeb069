static int number;
static void __attribute__((noinline)) throws(int n) {
    if (n >= 0) throw n;
}
static void __attribute__((constructor)) on_open() {
    try {
        throws(11);
    } catch (int n) {
        number = n;
    }
}
extern "C" int caught() { return number; }
