#define NAME STAYS
#include "trace.h"
