#define NAME DEEP
#include "trace.h"
