/* Semaphores that initializers of several dylibs share, and words printed by nobody but main. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <semaphore.h>
#include <time.h>
extern sem_t meet[4];
/* Waits for a sign of another thread; -1 when none comes for twenty seconds, so that a deadlock is a failure and not a hang. */
static inline int await(int number) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    int result;
    while ((result = sem_timedwait(&meet[number], &until)) && errno == EINTR) {}
    return result;
}
static inline void sign(int number) { sem_post(&meet[number]); }
