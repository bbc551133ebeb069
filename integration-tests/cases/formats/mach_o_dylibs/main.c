// Initializers and finalizers of JITDylibs whose objects are compiled for macOS: `__mod_init_func` in link order, dlopen of what nobody links against, dlsym by names as
// C spells them, exit handlers.
//#Compiler: clang
//#Pic: pic
//#Make: x_main.o = clang-19 --target=x86_64-apple-macosx14 $FLAGS -c $CASE/main.c -o x_main.o
//#Make: x_b.o = clang++-19 --target=x86_64-apple-macosx14 $FLAGS -DNAME=b -c $CASE/part.cc -o x_b.o
//#Make: x_c.o = clang++-19 --target=x86_64-apple-macosx14 $FLAGS -DNAME=c -c $CASE/part.cc -o x_c.o
//#Make: x_d.o = clang++-19 --target=x86_64-apple-macosx14 $FLAGS -DNAME=d -c $CASE/part.cc -o x_d.o
//#Inputs: x_main.o
//#Dylib: B x_b.o needs C
//#Dylib: C x_c.o
//#Dylib: D x_d.o
//#Needs: B
//#ExpectStdout: start of c
//#ExpectStdout: start of b
//#ExpectStdout: start of main
//#ExpectStdout: main: 1 1
//#ExpectStdout: start of d
//#ExpectStdout: opened: 1, variable 42, in a thread's place 7
//#ExpectStdout: end of d
//#ExpectStdout: end of main
//#ExpectStdout: end of b
//#ExpectStdout: end of c
//#NotElsewhere: the objects are of x86-64
int printf(const char *, ...);
void *dlopen(const char *, int);
void *dlsym(void *, const char *);
int dlclose(void *);
extern int called_b(void), called_c(void);
extern _Thread_local int each_c;
__attribute__((constructor)) static void start(void) { printf("start of main\n"); }
__attribute__((destructor)) static void end(void) { printf("end of main\n"); }
int main(void) {
    each_c++;
    printf("main: %d %d\n", called_b(), called_c());
    void *d = dlopen("D", 2);
    int (*called)(void) = (int (*)(void))dlsym(d, "called_d");
    int *variable = (int *)dlsym(d, "variable_d");
    int *(*place)(void) = (int *(*)(void))dlsym(d, "place_d");
    if (!called || !variable || !place) return 1;
    printf("opened: %d, variable %d, in a thread's place %d\n", called(), *variable, *place());
    if (dlsym(d, "_called_d")) return 2;
    return dlclose(d) || each_c != 8;
}
