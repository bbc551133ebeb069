/* What the bench times: linked by the JIT, and as a shared library by the system. It times itself, so that getting here costs nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

int own(void) { return 1; }

/* What, library, symbol, how often. Gives nanoseconds for all of it, or -1 when something is not as it should be. */
int drive(int argc, char **argv, char **envp) {
    const char *what = argv[1], *library = argv[2], *symbol = argv[3];
    long count = atol(argv[4]), begin = 0;
    if (!strcmp(what, "cycle")) {
        begin = now();
        for (long i = 0; i < count; i++) {
            void *handle = dlopen(library, RTLD_NOW);
            if (!handle)
                return -1;
            int (*run)(void) = (int (*)(void))dlsym(handle, symbol);
            if (!run || run() != 42 || dlclose(handle))
                return -1;
        }
        return now() - begin;
    }
    void *handle = dlopen(library, RTLD_NOW);
    if (!handle)
        return -1;
    if (!strcmp(what, "open")) {
        begin = now();
        for (long i = 0; i < count; i++) {
            void *again = dlopen(library, RTLD_NOW);
            if (again != handle || dlclose(again))
                return -1;
        }
    } else {
        void *place = strcmp(what, "default") ? handle : RTLD_DEFAULT;
        int there = strcmp(what, "miss") != 0;
        begin = now();
        for (long i = 0; i < count; i++)
            if ((dlsym(place, symbol) != 0) != there)
                return -1;
    }
    long took = now() - begin;
    dlerror();
    return dlclose(handle) ? -1 : took;
}
