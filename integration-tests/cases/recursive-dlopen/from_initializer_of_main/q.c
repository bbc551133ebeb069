#define NAME Q
#include "trace.h"
int answer(void) { return 42; }
