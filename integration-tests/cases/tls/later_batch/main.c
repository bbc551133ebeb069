// Code that is linked while the program runs uses the variables that are there: exported, and those that only the dylib sees.
//#Archive: liblate.a late.c
//#Inputs: main.c liblate.a
//#Pic: pic pie
//#Libs: -lpthread
//#Oracle: expected
//#ExpectStdout: main 6 70
//#ExpectStdout: main 7 80
//#ExpectStdout: thread 6 70
//#ExpectStdout: 7 80
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
__thread int shared = 5;
__attribute__((visibility("hidden"))) __thread long own = 60;
static void (*late)(const char *);
static void *run(void *who) {
    late(who);
    return 0;
}
int main(void) {
    late = (void (*)(const char *))dlsym(RTLD_DEFAULT, "late");
    if (!late) return 1;
    late("main");
    late("main");
    pthread_t thread;
    pthread_create(&thread, 0, run, "thread");
    pthread_join(thread, 0);
    printf("%d %ld\n", shared, own);
    return 0;
}
