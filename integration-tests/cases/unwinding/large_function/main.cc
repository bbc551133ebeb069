// A function of some megabytes: exceptions are thrown through its beginning, its middle and its end, and are caught there by the right handler.
//#Flags: -O1
//#Pic: pic nopic
//#NotElsewhere: clang cannot assemble it there
#include <cstdio>
static __attribute__((noinline)) void thrower(int n) { throw n; }
struct Note { int n; ~Note() { std::printf("  leaving %d\n", n); } };
#define FAR __asm__ volatile(".rept 300000\n.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n.endr")
#define PART(N) try { Note note{N}; if (which == N) thrower(N); FAR; } catch (int n) { std::printf("caught %d in part " #N "\n", n); return n; }
static __attribute__((noinline)) int large(int which) {
    PART(0) PART(1) PART(2) PART(3) PART(4) PART(5)
    return -1;
}
int main() {
    int sum = 0;
    for (int n = 0; n < 7; n++) sum += large(n);
    std::printf("%d\n", sum);
    return 0;
}
