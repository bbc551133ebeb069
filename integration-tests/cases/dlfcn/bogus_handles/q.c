#define NAME Q
#include "trace.h"
int q(void) { return 2; }
