#define NAME P
#include "trace.h"
int work(void) { return 1; }
int main_of_p(int argc, char **argv) {
    printf("P's own main: %d arguments, the last is %s\n", argc, argv[argc - 1]);
    return 33;
}
