// Weak thread-local variables: a strong one of another object wins, also over an archive's; one that nobody defines links.
//#Flags: -O0 | -O2 | -O1 -mtls-dialect=gnu2 | -O1 -mcmodel=large
//#Pic: pic pie nopic
//#Only: -O0 | -O2 | -O1 pic
#include <stdio.h>
__attribute__((weak)) __thread int chosen = 1;
__attribute__((weak)) __thread long kept = 2;
extern __thread int nobody __attribute__((weak));
int *other_sees(void);
int use_nobody(int really) { return really ? nobody : 0; }
int main(int argc, char **argv) {
    (void)argv;
    printf("%d %ld %d %d\n", chosen, kept, &chosen == other_sees(), use_nobody(argc > 5));
    return 0;
}
