// Resolvers run before any initializer: the first of them may already call through.
#include <stdio.h>
int chosen(void);
static int early;
__attribute__((constructor(101))) static void init(void) { early = chosen(); }
int main(void) {
    printf("%d %d\n", early, chosen());
    return 0;
}
