#define NAME D
#include "trace.h"
