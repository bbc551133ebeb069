/* Objects that need each other, both ways. */
#include <stdio.h>

int count = 1;
int there(int);
int back(int x) { return x + count; }

int main(void) {
    int value = there(40);
    printf("%d %d\n", value, count);
    return value;
}
