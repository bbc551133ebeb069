#define NAME LAZY
#include "trace.h"
