// A mergeable string section whose last string has no end is kept as it is, not cut.
#include <stdio.h>
#include <string.h>
extern const char unended[], ended[];
int main(void) {
    printf("%.4s %s %d\n", unended, ended, (int)(unended - ended));
    return 0;
}
