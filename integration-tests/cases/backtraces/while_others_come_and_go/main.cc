// One thread lists the objects, another opens and closes a dylib meanwhile: names and headers can be read while they are told, counts only grow, and an exception leaves the list,
// with nothing locked. (glibc 2.36 does not always get over that: there, the other thread may hang.)
//#Dylib: P p.c
//#Needs: none
//#Flags: -O1
//#Only: gcc pic | clang pic
//#ExpectStdout: 0 7 1
#include "orc_rt.h"
#include <atomic>
#include <chrono>
#include <cstdio>
#include <link.h>
#include <thread>

static std::atomic<bool> done;
static unsigned long long changes;

static int read_all(dl_phdr_info *info, size_t, void *sum) {
    if (!info->dlpi_name) return 1;
    for (const char *name = info->dlpi_name; *name; name++) *static_cast<unsigned long *>(sum) += *name;
    for (int at = 0; at < info->dlpi_phnum; at++) {
        const auto &one = info->dlpi_phdr[at];
        *static_cast<unsigned long *>(sum) += one.p_type + one.p_flags + one.p_memsz;
    }
    if (info->dlpi_adds + info->dlpi_subs < changes) return 2;
    changes = info->dlpi_adds + info->dlpi_subs;
    return 0;
}

static int throws(dl_phdr_info *, size_t, void *) { throw 7; }

int main() {
    std::thread other([] {
        for (int round = 0; round < 100; round++) {
            void *p = __orc_rt_jit_dlopen("P", RTLD_NOW);
            if (!p || __orc_rt_jit_dlclose(p)) std::puts("cannot open or close");
        }
        done = true;
    });
    unsigned long sum = 0;
    int failed = 0, caught = 0;
    do {
        failed |= dl_iterate_phdr(read_all, &sum);
        try {
            dl_iterate_phdr(throws, nullptr);
        } catch (int what) {
            caught = what;
        }
        // The native loader holds its lock while it tells: others want it, too.
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    } while (!done);
    other.join();
    // Nothing is locked after an exception.
    failed |= dl_iterate_phdr(read_all, &sum);
    std::printf("%d %d %d\n", failed, caught, sum != 0);
    return 0;
}
