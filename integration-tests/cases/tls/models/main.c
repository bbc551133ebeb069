// Every access model and dialect: own and foreign variables, initialized and zero, in threads, from two objects.
//#Flags: -O0 | -O2 | -Os | -O3 -fno-plt | -O1 -mtls-dialect=gnu2 | -O3 -mtls-dialect=gnu2 -fno-plt | -O1 -ftls-model=local-dynamic | -O1 -ftls-model=initial-exec | -O1 -ftls-model=local-exec | -O1 -mcmodel=large | -O3 -mcmodel=large | -O2 -mcmodel=medium
//#Only: -O0 | -O2 | -Os | -fno-plt pic | -mtls-dialect=gnu2 pic | -ftls-model=initial-exec pic | -ftls-model=local-exec pie | -mcmodel=large | -mcmodel=medium | gcc -ftls-model=local-dynamic pic
//#Libs: -lpthread
#include <pthread.h>
#include <stdio.h>
__thread int shared = 5;
__thread int zero;
static __thread int own = 3, own_zero;
static __thread int *pointer = 0;
__thread const char *const text = "text";
static __thread char buffer[40] = "buffer";
extern __thread long other, other_zero;
long *address_of_other(void);
int *address_of_shared(void);
int bump(void);
static int round_trip(void) {
    pointer = &own;
    *pointer += ++own_zero;
    buffer[0]++;
    zero += own;
    other += 2;
    other_zero--;
    shared += bump();
    return &shared == address_of_shared() && &other == address_of_other();
}
static void show(const char *who) {
    printf("%s: %d %d %d %d %s %s %ld %ld\n", who, shared, zero, own, own_zero, text, buffer, other, other_zero);
}
static void *thread(void *who) {
    show(who);
    int same = round_trip() && round_trip();
    show(who);
    return same ? who : 0;
}
int main(void) {
    int same = round_trip();
    show("main");
    pthread_t threads[2];
    void *result;
    for (int i = 0; i < 2; i++) {
        pthread_create(&threads[i], 0, thread, i ? "second" : "first");
        pthread_join(threads[i], &result);
        same &= result != 0;
    }
    show("main");
    printf("same %d\n", same);
    return 0;
}
