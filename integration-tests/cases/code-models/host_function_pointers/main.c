// The address of a host function is one address, in every model and unit, in code and in data.
//#FlagsFor: pic.c -fPIC
//#FlagsFor: abs.c -fPIE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef size_t (*function)(const char *);
function pic_address(void), abs_address(void);
extern function pic_table[], abs_table[];
static function here[] = {strlen};
int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(void) {
    function volatile local = strlen;
    printf("%d %d %d %d %d\n", local == here[0], local == pic_address(), local == abs_address(), local == pic_table[0], local == abs_table[0]);
    int values[] = {3, 1, 2};
    qsort(values, 3, sizeof(int), compare);
    printf("%d%d%d %zu\n", values[0], values[1], values[2], here[0]("four"));
    return 0;
}
