// Two threads initialize A and B, and each initializer opens the other's dylib: the open that would close the circle returns the handle at
// once, the other one waits. Nobody hangs, each initializer runs once. (glibc's one lock keeps the second thread out until the first is through.)
//#Rule: 13
//#Dylib: MEET meet.c
//#Dylib: A a.c needs MEET
//#Dylib: B b.c needs MEET
//#Needs: MEET
//#Flags: -O1
//#Pic: pic
//#Timeout: 30
//#ExpectStdout: A: met 1, B's handle 1, run 1
//#ExpectStdout: B: met 1, A's handle 1, run 1
//#ExpectStdout: two left: 0 0
//#ExpectStdout: closed: 0 0
#include "meet.h"
#include "open.h"
#include <pthread.h>
extern int met[2], got[2], runs[2];
static void *opener(void *name) { return open_or_tell(name); }
int main(void) {
    pthread_t threads[2];
    void *a = 0, *b = 0;
    pthread_create(&threads[0], 0, opener, "A");
    pthread_create(&threads[1], 0, opener, "B");
    pthread_join(threads[0], &a);
    pthread_join(threads[1], &b);
    printf("A: met %d, B's handle %d, run %d\n", met[0], got[0], runs[0]);
    printf("B: met %d, A's handle %d, run %d\n", met[1], got[1], runs[1]);
    int first = __orc_rt_jit_dlclose(a), second = __orc_rt_jit_dlclose(b);
    printf("two left: %d %d\n", first, second);
    first = __orc_rt_jit_dlclose(a), second = __orc_rt_jit_dlclose(b);
    printf("closed: %d %d\n", first, second);
    return 0;
}
