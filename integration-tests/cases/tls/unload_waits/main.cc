// A dylib that is closed while another thread has objects of it stays until that thread has destroyed them; those of the thread that
// closes go at once. Opened again, everything is new.
//#Rule: 21 24
//#Dylib: B b.cc
//#Needs: none
//#Pic: pic
//#Flags: -O1
//#Libs: -lpthread
//#Oracle: expected
//#ExpectStdout: +main 1
//#ExpectStdout: +thread 1
//#ExpectStdout: closing
//#ExpectStdout: -main 1
//#ExpectStdout: closed
//#ExpectStdout: thread ends
//#ExpectStdout: -thread 1
//#ExpectStdout: gone
//#ExpectStdout: +main 1
//#ExpectStdout: -main 1
#include <cstdio>
#include <dlfcn.h>
#include <pthread.h>
static pthread_barrier_t barrier;
static void (*use)(const char *);
static void *work(void *unused) {
    use("thread");
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    std::puts("thread ends");
    return unused;
}
static void *open_b() {
    void *handle = dlopen("B", RTLD_NOW);
    use = handle ? (void (*)(const char *))dlsym(handle, "use") : nullptr;
    return handle;
}
int main() {
    pthread_barrier_init(&barrier, nullptr, 2);
    void *handle = open_b();
    if (!use) return 1;
    use("main");
    pthread_t thread;
    pthread_create(&thread, nullptr, work, nullptr);
    pthread_barrier_wait(&barrier);
    std::puts("closing");
    if (dlclose(handle)) return 2;
    std::puts("closed");
    pthread_barrier_wait(&barrier);
    pthread_join(thread, nullptr);
    std::puts("gone");
    handle = open_b();
    if (!use) return 3;
    use("main");
    if (dlclose(handle)) return 4;
    return 0;
}
