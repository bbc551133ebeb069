// A member that is extracted brings its initializers, in the place of its archive; one that is not extracted brings none.
//#Archive: libx.a used.c unused.c
#include <stdio.h>
int used(void);
__attribute__((constructor)) static void init(void) { puts("init main.o"); }
int main(void) {
    printf("main %d\n", used());
    return 0;
}
