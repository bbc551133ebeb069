#define NAME GOOD
#include "trace.h"
