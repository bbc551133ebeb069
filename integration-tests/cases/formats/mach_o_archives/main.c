// Members of archives that `ar` made for macOS, one machine's and universal, are found by the names that C has for them; members that nobody needs stay out. One object is
// universal, too.
//#Compiler: clang
//#Pic: pic
//#Make: both.o = clang-19 --target=x86_64-apple-macosx14 $FLAGS -c $CASE/main.c -o x_main.o && clang-19 --target=arm64-apple-macosx14 $FLAGS -c $CASE/main.c -o a_main.o && llvm-lipo-19 -create x_main.o a_main.o -output both.o
//#Make: libone.a = clang-19 --target=x86_64-apple-macosx14 $FLAGS -c $CASE/one.c -o x_one.o && clang-19 --target=x86_64-apple-macosx14 $FLAGS -c $CASE/unused.c -o x_unused.o && llvm-ar-19 rcs --format=darwin libone.a x_one.o x_unused.o
//#Make: libtwo.a = clang-19 --target=x86_64-apple-macosx14 $FLAGS -c $CASE/two.c -o x_two.o && llvm-ar-19 rcs --format=darwin x.a x_two.o && clang-19 --target=arm64-apple-macosx14 $FLAGS -c $CASE/two.c -o a_two.o && llvm-ar-19 rcs --format=darwin a.a a_two.o && llvm-lipo-19 -create x.a a.a -output libtwo.a
//#NativeInputs: main.c one.c two.c
//#OrcInputs: both.o libone.a libtwo.a
//#Exit: 42
//#NotElsewhere: the objects are of x86-64
int printf(const char *, ...);
int one(void);
int main(void) {
    printf("main\n");
    return one();
}
