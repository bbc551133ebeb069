#define NAME C
#include "trace.h"
