#define NAME Q
#include "trace.h"
int r(void);
int answer(void) { return r() + 1; }
