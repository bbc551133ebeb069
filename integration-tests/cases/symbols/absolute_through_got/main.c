// An absolute symbol read through the GOT, and one given on the command line.
//#OrcOptions: --abs given=0x5678
//#NativeFlags: -Wl,--defsym=given=0x5678
//#Pic: nopic
#include <stdio.h>
extern char own_absolute[];
long through_got(void), through_relaxable(void), given_value(void);
int main(void) {
    printf("%lx %lx %lx\n", through_got(), through_relaxable(), given_value());
    return 0;
}
