// Groups with one signature: the first is kept whole, the second dropped whole; what only the second defines is not there.
//#Rule: 30
#include <stdio.h>
int pick(void);
extern const char *which(void);
__attribute__((weak)) int only_in_second(void);
int main(void) {
    printf("%d %s %d\n", pick(), which(), only_in_second != 0);
    return 0;
}
