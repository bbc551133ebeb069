// An IFUNC is resolved once; its address is the same in every unit, in code and in data, called or stored.
#include <stdio.h>
int chosen(int);
typedef int (*function)(int);
extern function a_pointer, a_const_pointer;
function a_address(void);
int a_call(int);
static function here = chosen;
int resolved_count(void);
int main(void) {
    function volatile local = chosen;
    printf("%d %d %d %d\n", local == here, local == a_pointer, local == a_address(), local == a_const_pointer);
    printf("%d %d %d %d\n", chosen(1), a_call(2), here(3), a_pointer(4));
    return 0;
}
