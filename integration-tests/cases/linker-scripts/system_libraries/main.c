// Debian's libc.so and libm.so are scripts; atexit, at_quick_exit and pthread_atfork lie in libc_nonshared.a and come without being asked.
//#Libs: -lm -lc -lpthread -ldl
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static void prepare(void) { puts("prepare"); }
static void at_end(void) { puts("end"); }
int main(int argc, char **argv) {
    (void)argv;
    struct stat status;
    int found = stat("/", &status);
    printf("%d %.3f %d\n", found, cos(argc - 1.0), S_ISDIR(status.st_mode));
    atexit(at_end);
    printf("%d\n", pthread_atfork(prepare, 0, 0));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) _exit(3);
    int code;
    waitpid(child, &code, 0);
    printf("child %d\n", WEXITSTATUS(code));
    return 0;
}
