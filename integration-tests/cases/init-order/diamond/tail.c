#define NAME TAIL
#include "trace.h"
