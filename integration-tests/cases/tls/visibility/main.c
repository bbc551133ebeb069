// Hidden, protected and static variables, of this object and of another; hidden ones that nobody defines are at null.
//#Flags: -O0 | -O2 | -Os -fno-plt | -O1 -mtls-dialect=gnu2 | -O3 -mtls-dialect=gnu2 | -O1 -mcmodel=large
//#Pic: pic
//#Libs: -lpthread
#include <pthread.h>
#include <stdio.h>
#define HIDDEN __attribute__((visibility("hidden")))
HIDDEN __thread int hidden = 4;
HIDDEN __thread char hidden_zero[24];
__attribute__((visibility("protected"))) __thread int protected_one = 5;
static __thread int own[3] = {6, 7, 8};
static __thread long own_zero[2];
extern HIDDEN __thread int theirs;
extern HIDDEN __thread short theirs_zero;
int *hidden_there(void), *theirs_there(void), *protected_there(void);
static void *look(void *who) {
    hidden += 1;
    protected_one += 10;
    own[2] += own[0]++;
    own_zero[1] += own[2];
    theirs += 100;
    theirs_zero--;
    hidden_zero[23]++;
    printf("%s: %d %d %d %ld %d %d %d %d\n", (char *)who, hidden, protected_one, own[2], own_zero[1], theirs, theirs_zero, hidden_zero[23],
           &hidden == hidden_there() && &theirs == theirs_there() && &protected_one == protected_there());
    return 0;
}
int main(void) {
    look("main");
    pthread_t thread;
    for (int i = 0; i < 2; i++) {
        pthread_create(&thread, 0, look, "thread");
        pthread_join(thread, 0);
    }
    look("main");
    return 0;
}
