#include <string.h>
typedef size_t (*function)(const char *);
function pic_table[] = {strlen};
function pic_address(void) { return strlen; }
