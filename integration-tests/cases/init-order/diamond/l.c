#define NAME L
#include "trace.h"
