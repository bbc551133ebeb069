// Objects of two formats in one program: each calls the other, throws through the other, and they share variables, inline functions and standard output.
//#Compiler: clang
//#Pic: pic
//#Make: apple.o = clang++-19 --target=x86_64-apple-macosx14 $FLAGS -c $CASE/mach.cc -o apple.o
//#NativeInputs: main.cc mach.cc
//#OrcInputs: main.cc apple.o
//#NotElsewhere: the objects are of x86-64
#include "shared.h"
extern "C" int printf(const char *, ...);
int shared_variable = 5;
struct Leaving {
    ~Leaving() { printf("main leaves\n"); }
};
int call_back(int x) {
    Leaving leaving;
    if (x > 3) throw Problem{x};
    return x + counter()++;
}
int main() {
    counter() = 10;
    printf("%d\n", of_mach(1));
    printf("%d %d\n", counter(), shared_variable);
    try {
        of_mach(9);
    } catch (Problem &problem) {
        printf("problem %d\n", problem.number);
    }
    return 0;
}
