#include <cstdio>
struct Note {
    const char *text;
    ~Note() { std::printf("  leaving %s\n", text); }
};
__attribute__((noinline, cold)) inline void unlikely(int n) {
    std::printf("  unlikely %d\n", n);
    if (n > 2) throw long{n};
}
template <class T> __attribute__((noinline)) int parts(T n) {
    Note note{"parts"};
    int sum = 0;
    for (int i = 0; i < n; i++) {
        if (__builtin_expect(i == 1, 0)) {
            Note cold{"the cold part"};
            unlikely(n);
            try {
                unlikely(n + 2);
            } catch (long thrown) {
                std::printf("  caught in the cold part %ld\n", thrown);
                if (__builtin_expect(n == 2, 0)) throw;
            }
        }
        sum += i;
    }
    return sum;
}
