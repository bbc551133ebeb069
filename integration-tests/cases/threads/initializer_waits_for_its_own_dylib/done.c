#define NAME DONE
#include "trace.h"
