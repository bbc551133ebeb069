#include "set.h"
ENTRY(c_one, 30)
int pull_c(void) { return 0; }
