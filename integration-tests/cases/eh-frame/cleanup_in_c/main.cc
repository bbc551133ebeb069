// C code built with -fexceptions runs its cleanups when an exception passes through it.
//#FlagsFor: middle.c -fexceptions
//#Pic: pic nopic
#include <cstdio>
extern "C" int middle(void (*)(int), int);
static void thrower(int n) {
    if (n == 2) throw n;
    std::printf("call %d\n", n);
}
int main() {
    try {
        middle(thrower, 4);
    } catch (int n) {
        std::printf("caught %d\n", n);
    }
    return 0;
}
