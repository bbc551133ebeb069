/* Dies in the way that its argument says. */
#define _GNU_SOURCE
#include <assert.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile int zero;
static int *volatile nowhere;
static const char *way;
static pthread_barrier_t barrier;
static int depth(volatile char *above) {
    volatile char room[4096];
    room[0] = above[0];
    return depth(room) + room[1];
}
static void *stores(void *argument) {
    *nowhere = 1;
    return argument;
}
static void *overflows(void *argument) {
    char c = 0;
    return argument ? argument : (void *)(long)depth(&c);
}
static int compare(const void *a, const void *b) {
    stores(0);
    return a < b;
}
static void (*volatile no_function)(void);
static void calls_nothing(void) { no_function(); }
static void *both(void *argument) {
    pthread_barrier_wait(&barrier);
    return stores(argument);
}
static int damaged(void) {
    /* What leads to the caller is overwritten, and the walk finds nonsense. */
    __asm__ volatile("movq $0x1234567, (%rbp)\n movq $0x7654321, 8(%rbp)\n movl %eax, 0");
    return 0;
}
static sigjmp_buf back;
static void recovers(int signal) {
    (void)signal;
    siglongjmp(back, 1);
}
static void on_thread(void *(*function)(void *)) {
    pthread_t thread;
    pthread_create(&thread, 0, function, 0);
    pthread_join(thread, 0);
}
static int is(const char *name) { return !strcmp(way, name); }
__attribute__((constructor)) static void initializer(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "initializer")) stores(0);
}
int main(int argc, char **argv) {
    way = argc > 1 ? argv[1] : "";
    setvbuf(stdout, 0, _IOLBF, 0);
    if (is("null")) stores(0);
    if (is("divide")) return argc / zero;
    if (is("abort")) abort();
    if (is("assert")) assert(zero == 1);
    if (is("trap")) __builtin_trap();
    if (is("breakpoint")) __asm__ volatile("int3");
    if (is("overflow")) overflows(0);
    if (is("thread")) on_thread(stores);
    if (is("overflow on a thread")) on_thread(overflows);
    if (is("two")) {
        pthread_t first, second;
        pthread_barrier_init(&barrier, 0, 2);
        pthread_create(&first, 0, both, 0);
        pthread_create(&second, 0, both, 0);
        pthread_join(first, 0);
        pthread_join(second, 0);
    }
    if (is("qsort")) {
        int values[] = {2, 1, 3};
        qsort(values, 3, sizeof(int), compare);
    }
    if (is("nothing")) calls_nothing();
    if (is("damaged")) return damaged();
    if (is("sent")) {
        puts("up");
        for (;;) pause();
    }
    if (is("held back")) {
        const int signals[] = {SIGTERM, SIGUSR1, SIGSEGV, SIGABRT};
        sigset_t set;
        sigemptyset(&set);
        for (int i = 0; i < 4; i++) sigaddset(&set, signals[i]);
        sigprocmask(SIG_BLOCK, &set, 0);
        for (int i = 0; i < 4; i++) kill(getpid(), signals[i]);
        usleep(20000);
        for (int i = 0; i < 4; i++) {
            siginfo_t info;
            int signal = sigwaitinfo(&set, &info);
            if (info.si_pid != getpid()) return 4;
            sigdelset(&set, signal);
        }
        return 3;
    }
    if (is("fork")) {
        int status;
        if (!fork()) stores(0);
        wait(&status);
        printf("the child died of %d\n", status & 0x7f);
        return 3;
    }
    if (is("recovers")) {
        signal(SIGSEGV, recovers);
        if (!sigsetjmp(back, 1)) stores(0);
        puts("recovered");
        return 4;
    }
    return 0;
}
