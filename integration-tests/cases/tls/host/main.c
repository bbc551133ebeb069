// Variables of shared libraries: the C library's errno, in every thread; a library that was opened late; through a pointer, too.
//#Shared: libhost.so host.c
//#Flags: -O0 | -O2 | -O2 -fno-plt | -O2 -mtls-dialect=gnu2 | -O1 -ftls-model=initial-exec | -O1 -mcmodel=large
//#Libs: -lpthread
//#Only: -O0 | -O2 | -fno-plt pic | -mtls-dialect=gnu2 pic | -ftls-model=initial-exec pic | -mcmodel=large pic
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
extern __thread int of_library;
extern __thread char library_buffer[];
int *library_sees(void);
static void *look(void *who) {
    errno = 0;
    int failed = close(-1);
    printf("%s: %d %d %d %s %d\n", (char *)who, failed, errno == EBADF, of_library++, library_buffer, &of_library == library_sees());
    library_buffer[0] = 'J';
    return 0;
}
int main(void) {
    look("main");
    pthread_t thread;
    pthread_create(&thread, 0, look, "thread");
    pthread_join(thread, 0);
    look("main");
    return 0;
}
