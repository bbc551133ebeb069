// Undefined weak through PC32, PLT32 and GOTPCRELX in assembler: null, and a guarded call is never made.
//#Pic: nopic
//#NativeFlags: -Wl,-z,nodynamic-undefined-weak
#include <stdio.h>
int through_plt(void), through_got(void), through_absolute(void);
int main(void) {
    printf("%d %d %d\n", through_plt(), through_got(), through_absolute());
    return 0;
}
