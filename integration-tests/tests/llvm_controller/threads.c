/* Does each thread have its own? Compiled for the general dynamic model, the one that LLVM's runtime serves. */
#include <pthread.h>
#include <stdio.h>

__thread int number = 5;
__thread long zero;
__thread char text[100] = "abc";

static void *run(void *argument) {
    number += (int)(long)argument;
    zero = number;
    printf("thread %d %ld %s\n", number, zero, text);
    text[0] = 'X';
    return 0;
}

int main(void) {
    number++;
    text[0] = 'm';
    for (long i = 10; i < 40; i += 10) {
        pthread_t thread;
        pthread_create(&thread, 0, run, (void *)i);
        pthread_join(thread, 0);
    }
    printf("main %d %ld %s\n", number, zero, text);
    return number;
}
