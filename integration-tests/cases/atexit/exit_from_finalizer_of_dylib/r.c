#define NAME R
#include "trace.h"
