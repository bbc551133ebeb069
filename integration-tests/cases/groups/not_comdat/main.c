// A group that is no COMDAT only ties its sections together: nothing of it is dropped.
#include <stdio.h>
int a(void), b(void);
int main(void) {
    printf("%d %d\n", a(), b());
    return 0;
}
