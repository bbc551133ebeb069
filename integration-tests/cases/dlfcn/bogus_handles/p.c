#define NAME P
#include "trace.h"
int p(void) { return 1; }
