#define NAME TOP
#include "trace.h"
int bare(void);
int top(void) { return bare(); }
