// Records with the letters z, P, L, R and B (the key of AArch64, which means nothing here): an exception goes through them.
//#Pic: pic
//#Flags: -O1
#include <cstdio>
#include <initializer_list>
extern "C" int passes_b(int (*)(int), int);
extern "C" int passes_all(int (*)(int), int);
struct Note { ~Note() { std::puts("  leaving"); } };
static int thrower(int n) { Note note; throw n; }
static int nested(int n) { return passes_all(thrower, n) + 1; }
int main() {
    for (auto *passes : {passes_b, passes_all}) {
        try {
            passes(nested, 4);
        } catch (int n) {
            std::printf("caught %d\n", n);
        }
    }
    return 0;
}
