#define NAME HELPER
#include "trace.h"
int help(void) { return 41; }
