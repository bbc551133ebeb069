/* One link of a chain of objects: NUMBER, and NEXT if there is one. The first has the program. */
#include <stdio.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#ifdef NEXT
int JOIN(link, NEXT)(int);
#endif

int JOIN(link, NUMBER)(int value) {
#ifdef NEXT
    return JOIN(link, NEXT)(value + 1);
#else
    return value + 1;
#endif
}

#if NUMBER == 0
int main(void) {
    printf("%d links\n", link0(0));
    return 0;
}
#endif
