// pthread_exit and pthread_cancel unwind through JIT'd frames and run their destructors.
//#Libs: -lpthread
//#Pic: pic nopic
#include <cstdio>
#include <pthread.h>
#include <unistd.h>
struct Note {
    const char *text;
    ~Note() { std::printf("leaving %s\n", text); }
};
static void *leaves(void *) {
    Note note{"pthread_exit"};
    pthread_exit((void *)7);
}
static void *waits(void *) {
    Note note{"cancelled"};
    for (;;) pause();
}
int main() {
    pthread_t thread;
    void *result;
    pthread_create(&thread, nullptr, leaves, nullptr);
    pthread_join(thread, &result);
    std::printf("%ld\n", (long)result);
    pthread_create(&thread, nullptr, waits, nullptr);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    std::printf("%d\n", result == PTHREAD_CANCELED);
    return 0;
}
