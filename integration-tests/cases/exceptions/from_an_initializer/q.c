#define NAME Q
#include "trace.h"
