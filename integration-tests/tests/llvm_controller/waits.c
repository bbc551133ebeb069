/* A program that does not end by itself: it says who it is. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
    printf("%d\n", (int)getpid());
    fflush(stdout);
    for (;;)
        pause();
}
