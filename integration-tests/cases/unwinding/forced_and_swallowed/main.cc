// Who catches a forced unwinding and does not pass it on is ended by the C library, in its words; the process dies of SIGABRT.
//#Libs: -lpthread
//#Pic: pic nopic
//#Exit: 134
#include <cstdio>
#include <pthread.h>
static void *thread(void *) {
    try {
        pthread_exit(nullptr);
    } catch (...) {
        std::puts("caught");
        std::fflush(stdout);
    }
    std::puts("not reached");
    return nullptr;
}
int main() {
    pthread_t id;
    pthread_create(&id, nullptr, thread, nullptr);
    pthread_join(id, nullptr);
    return 0;
}
