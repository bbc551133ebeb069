#include <stdio.h>
#include <unistd.h>
static int done;
int q_done(void) { return done; }
__attribute__((constructor)) static void init(void) {
    puts("init Q");
    usleep(30000);
    done = 1;
}
__attribute__((destructor)) static void fini(void) { puts("fini Q"); }
