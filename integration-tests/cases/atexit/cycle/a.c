#define NAME A
#include "trace.h"
