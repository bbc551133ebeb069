// Exceptions through functions that have a compact unwind encoding and nothing else: with and without a frame pointer, with saved registers, with a frame so large
// that its size stands in the code.
//#Compiler: clang
//#Pic: pic
//#CompileFlags: -fno-stack-protector
//#Make: mach.o = clang++-19 --target=x86_64-apple-macosx14 $FLAGS -femit-dwarf-unwind=no-compact-unwind -fomit-frame-pointer -c $CASE/main.cc -o mach.o
//#Make: apple_frames.o = clang++-19 --target=x86_64-apple-macosx14 $FLAGS -femit-dwarf-unwind=no-compact-unwind -fno-omit-frame-pointer -c $CASE/frames.cc -o apple_frames.o
//#NativeInputs: main.cc frames.cc
//#OrcInputs: mach.o apple_frames.o
//#NotElsewhere: the objects are of x86-64
extern "C" int printf(const char *, ...);
struct Guard {
    long value;
    ~Guard() { printf("guard %ld\n", value); }
};
int framed(int depth, long a, long b, long c, long d, long e);
__attribute__((noinline)) void thrower(int x) {
    if (x) throw x;
}
__attribute__((noinline)) long small(int x) {
    Guard g{1};
    thrower(x);
    return 1;
}
__attribute__((noinline)) long saved(int x, long a, long b, long c, long d, long e, long f) {
    Guard g{a + b};
    long sum = small(x) + a;
    sum += small(x) * b;
    sum += small(x) * c + d * e + f;
    return sum;
}
__attribute__((noinline)) long large(int x) {
    volatile char buffer[100000];
    buffer[x] = 7;
    Guard g{buffer[x]};
    return saved(x, 2, 3, 4, 5, 6, 7) + buffer[x];
}
long recurse(int depth, int x) {
    Guard g{depth + 100};
    return depth ? recurse(depth - 1, x) + 1 : large(x);
}
int main() {
    printf("%ld\n", recurse(2, 0));
    try {
        printf("%ld\n", recurse(3, 9));
    } catch (int caught) {
        printf("caught %d\n", caught);
    }
    try {
        printf("%d\n", framed(3, 1, 2, 3, 4, 5));
    } catch (long caught) {
        printf("caught %ld\n", caught);
    }
    return 0;
}
