#include <stdio.h>
extern __thread int shared;
extern __attribute__((visibility("hidden"))) __thread long own;
static __thread int fresh = 10;
void late(const char *who) {
    own += fresh;
    printf("%s %d %ld\n", who, ++shared, own);
}
