int nobody_defines_this(void);
#define NAME BAD
#include "trace.h"
int bad(void) { return nobody_defines_this(); }
