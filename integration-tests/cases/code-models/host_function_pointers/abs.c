#include <string.h>
typedef size_t (*function)(const char *);
function abs_table[] = {strlen};
function abs_address(void) { return strlen; }
