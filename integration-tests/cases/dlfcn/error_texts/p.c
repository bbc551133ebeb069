#define NAME P
#include "trace.h"
int function(void) { return 1; }
