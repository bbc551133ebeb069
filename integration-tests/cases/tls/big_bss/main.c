// More than the static pool has, and more aligned than it can be: blocks are allocated by each thread that asks.
//#Flags: -O0 | -O2 | -Os | -O2 -fno-plt | -O0 -mtls-dialect=gnu2 | -O2 -mtls-dialect=gnu2 | -O3 -mtls-dialect=gnu2 -fno-plt | -O1 -mcmodel=large | -O3 -mcmodel=large -fno-plt | -O2 -mcmodel=medium -mlarge-data-threshold=2000000
//#Pic: pic
//#Libs: -lpthread
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
__thread char big[1 << 20];
__thread char page[8] __attribute__((aligned(4096))) = "page";
static __thread int small = 9, zero;
static __thread double value = 2.5;
extern __thread int other;
int *other_sees(void);
double mix(double a, double b) { return a * 10 + b + value; }
static void *look(void *unused) {
    small += big[sizeof big - 1]++;
    other += 1;
    printf("%d %d %s %d %d %.2f %d %d\n", small, zero++, page, (int)((uintptr_t)page % 4096), (int)strlen(big + 5), mix(1.5, 0.25), other, &other == other_sees());
    return unused;
}
int main(void) {
    look(0);
    look(0);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        pthread_create(&thread, 0, look, 0);
        pthread_join(thread, 0);
    }
    look(0);
    return 0;
}
