// 600 MB of zeroes between code and data do not hurt: zero fill costs no content.
//#Pic: pic nopic
#include <stdio.h>
static char first[300 << 20], second[300 << 20];
int main(void) {
    volatile char *a = first, *b = second;
    a[0] = 1, a[(300 << 20) - 1] = 2, b[(300 << 20) - 1] = 3;
    printf("%d %d %d %d\n", a[0], a[(300 << 20) - 1], b[(300 << 20) - 1], b[12345]);
    return 0;
}
