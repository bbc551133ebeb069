/* exit in the middle of a program. */
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    puts("leaving");
    exit(6);
}
