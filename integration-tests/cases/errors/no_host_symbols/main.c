// --no-host-symbols: even puts is unresolved.
//#Flags: -O1
//#OrcOptions: --no-host-symbols
//#ExpectError: puts
//#ExpectError: main.o
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
