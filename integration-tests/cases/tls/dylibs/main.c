// A thread-local variable of another dylib is one variable, also for three users, in every thread.
//#Dylib: B b.c needs C
//#Dylib: C c.c
//#Flags: -O0 | -O2 | -O2 -fno-plt | -O2 -mtls-dialect=gnu2
//#Pic: pic
//#Libs: -lpthread
#include <pthread.h>
#include <stdio.h>
extern __thread int of_c;
int *b_sees(void);
int *c_sees(void);
int b_private(void);
int c_private(void);
static void *look(void *who) {
    of_c += 1;
    *b_sees() += 10;
    *c_sees() += 100;
    printf("%s: %d %d %d %d\n", (char *)who, of_c, &of_c == b_sees() && &of_c == c_sees(), b_private(), c_private());
    return 0;
}
int main(void) {
    look("main");
    pthread_t thread;
    pthread_create(&thread, 0, look, "thread");
    pthread_join(thread, 0);
    look("main");
    return 0;
}
