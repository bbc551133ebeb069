#define NAME P
#include "trace.h"
int q(void);
int p(void) { return q(); }
