// Code that is not position-independent is linked when a dylib is opened: what other code had of the library's objects before follows.
//#Pic: pic
//#FlagsFor: late.c -fno-pic -fno-pie
//#Dylib: late late.c
//#Needs: none
//#ExpectStdout: early 1 1
//#ExpectStdout: late 1 1
//#ExpectStdout: same 1 1 1
//#ExpectStdout: value
//#NotOn: riscv64 its libraries have their symbol tables on pages of code, so that their data cannot move
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
extern FILE **table;
char ***volatile stored;
// A function that is running may keep the old address in a register, so another unit says the addresses.
FILE **early_stdout(void);
char ***early_environ(void);
int main(void) {
    stored = early_environ();
    printf("early %d %d\n", table == early_stdout(), stored == early_environ());
    fflush(stdout);
    void *late = dlopen("late", RTLD_NOW);
    if (!late) return printf("%s\n", dlerror()), 1;
    FILE **(*at)(void) = (FILE * *(*)(void)) dlsym(late, "late_stdout");
    char ***(*env)(void) = (char ***(*)(void))dlsym(late, "late_environ");
    printf("late %d %d\n", table == early_stdout(), stored == early_environ());
    printf("same %d %d %d\n", at() == early_stdout(), env() == early_environ(), dlsym(RTLD_DEFAULT, "stdout") == (void *)at());
    static char *mine[] = {"LATE=value", 0};
    *env() = mine;
    puts(getenv("LATE"));
    return 0;
}
