#include <pthread.h>
#include <stdio.h>
static pthread_t opened;
__attribute__((constructor)) static void init(void) { opened = pthread_self(); }
__attribute__((destructor)) static void fini(void) { printf("closed on another thread: %d\n", !pthread_equal(opened, pthread_self())); }
pthread_t where(void) { return opened; }
