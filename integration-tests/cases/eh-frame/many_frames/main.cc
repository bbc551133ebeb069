// Seven hundred functions, one exception through each: the tables are searched, not only the first entries.
//#Flags: -O1
//#Pic: pic nopic
#include <cstdio>
template <int N> struct Chain {
    static __attribute__((noinline)) int call(int x) {
        if (x == N) throw N;
        return Chain<N - 1>::call(x) + 1;
    }
};
template <> struct Chain<0> {
    static __attribute__((noinline)) int call(int x) {
        if (x == 0) throw 0;
        return 0;
    }
};
int main() {
    long sum = 0;
    for (int i = 0; i <= 700; i++) {
        try {
            Chain<700>::call(i);
        } catch (int n) {
            sum += n;
        }
    }
    std::printf("%ld\n", sum);
    return 0;
}
