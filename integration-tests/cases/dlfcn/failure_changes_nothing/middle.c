#define NAME MIDDLE
#include "trace.h"
