#include <pthread.h>
#include <stdio.h>
static void told(void *name) { printf("  handler %s\n", (const char *)name); }
void c_frame(void (*function)(void *), void *argument, const char *name) {
    pthread_cleanup_push(told, (void *)name);
    function(argument);
    pthread_cleanup_pop(0);
}
