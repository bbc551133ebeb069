/* One library of the oracle: compiled once for each NUMBER, linked once by ld for glibc, and linked by us from the same object. */
#include "library.h"

#define JOIN(a, b) a##b
#define NAME(a, b) JOIN(a, b)

extern int __cxa_atexit(void (*handler)(void *), void *argument, void *dso);
extern void *__dso_handle __attribute__((visibility("hidden")));

static int data = PRISTINE;

static void at_exit(long argument);
static const struct library self = { NUMBER, at_exit, &data };

static void handler(void *argument) { oracle_step(&self, HANDLER, (long)argument); }
static void at_exit(long argument) { __cxa_atexit(handler, (void *)argument, &__dso_handle); }

__attribute__((constructor)) static void initializer(void) { oracle_step(&self, INITIALIZER, 0); }
__attribute__((destructor)) static void finalizer(void) { oracle_step(&self, FINALIZER, 0); }

/* Who defines a symbol that many define is asked with dlsym: library n has those whose bit is set in n. */
#define GROUP(bit) const int NAME(group_, bit) = NUMBER;
#if NUMBER & 1
GROUP(0)
#endif
#if NUMBER & 2
GROUP(1)
#endif
#if NUMBER & 4
GROUP(2)
#endif
#if NUMBER & 8
GROUP(3)
#endif
/* And one that nobody else has. */
const int NAME(only_, NUMBER) = NUMBER;
