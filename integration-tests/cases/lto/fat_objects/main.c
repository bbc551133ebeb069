// Fat LTO objects: their machine code is taken, their intermediate sections are not looked at.
//#Flags: -O2 -flto -ffat-lto-objects
//#NativeFlags: -fno-lto
#include <stdio.h>
int other(int);
int shared = 4;
int main(void) {
    printf("%d\n", other(shared));
    return 0;
}
