#include <stdio.h>
#include <unistd.h>
int done;
int q_done(void);
__attribute__((constructor)) static void init(void) {
    printf("init P, Q is complete %d\n", q_done());
    usleep(30000);
    done = 1;
}
__attribute__((destructor)) static void fini(void) { puts("fini P"); }
