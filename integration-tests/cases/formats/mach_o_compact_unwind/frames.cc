extern "C" int printf(const char *, ...);
struct Note {
    const char *text;
    ~Note() { printf("%s\n", text); }
};
__attribute__((noinline)) int framed(int depth, long a, long b, long c, long d, long e) {
    Note note{depth & 1 ? "odd" : "even"};
    if (!depth) throw a * 10000 + b * 1000 + c * 100 + d * 10 + e;
    long kept = a + b + c;
    int below = framed(depth - 1, b, c, d, e, a);
    return below + (int)kept + (int)(d * e);
}
