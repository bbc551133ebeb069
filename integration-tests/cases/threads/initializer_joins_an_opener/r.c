#define NAME R
#include "trace.h"
int r(void) { return 41; }
