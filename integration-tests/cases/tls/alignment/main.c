// Alignment holds in every thread, of content and of zeros.
//#Libs: -lpthread
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
static __thread char odd = 1;
__thread char cache_line[3] __attribute__((aligned(64))) = "ab";
static __thread char odd_zero;
__thread long zeros __attribute__((aligned(32)));
__thread char last = 2;
static void *look(void *unused) {
    printf("%d %d %s %ld %d %d %d\n", odd, odd_zero, cache_line, zeros, last, (int)((uintptr_t)cache_line % 64),
           (int)((uintptr_t)&zeros % 32));
    return unused;
}
int main(void) {
    look(0);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        pthread_create(&thread, 0, look, 0);
        pthread_join(thread, 0);
    }
    return 0;
}
