// A weak undefined reference extracts no member; when a strong one elsewhere does, it sees the definition.
//#Archive: libw.a lonely.c wanted.c
#include <stdio.h>
__attribute__((weak)) int lonely(void);
__attribute__((weak)) int wanted(void);
int strong(void);
int main(void) {
    printf("lonely %d, wanted %d, %d\n", lonely != 0, wanted != 0, strong());
    return 0;
}
