// Opens that share nothing go on side by side: each of two initializers waits for the other to have begun. (glibc holds one lock for all.)
//#Rule: 12
//#Dylib: MEET meet.c
//#Dylib: A a.c needs MEET
//#Dylib: B b.c needs MEET
//#Needs: MEET
//#Flags: -O1
//#Pic: pic
//#ExpectStdout: A met B 1, B met A 1
#include "meet.h"
#include "open.h"
#include <pthread.h>
extern int met[2];
static void *opener(void *name) { return open_or_tell(name); }
int main(void) {
    pthread_t a, b;
    pthread_create(&a, 0, opener, "A");
    pthread_create(&b, 0, opener, "B");
    pthread_join(a, 0);
    pthread_join(b, 0);
    printf("A met B %d, B met A %d\n", met[0], met[1]);
    return 0;
}
