// Frames by hand: a personality through a pointer, an LSDA, expressions, remember and restore, a return column of its own CIE.
//#Pic: pic
#include <cstdio>
extern "C" int guarded(int (*)(int), int);
static int thrower(int n) {
    if (n > 1) throw n * 10;
    return n;
}
int main() {
    std::printf("%d\n", guarded(thrower, 1));
    try {
        guarded(thrower, 2);
    } catch (int n) {
        std::printf("caught %d\n", n);
    }
    return 0;
}
