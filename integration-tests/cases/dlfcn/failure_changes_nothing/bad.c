#define NAME BAD
#include "trace.h"
int nobody_defines_this(void);
int bad(void) { return nobody_defines_this(); }
