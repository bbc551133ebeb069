#define NAME BESIDE
#include "trace.h"
