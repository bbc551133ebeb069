#define NAME P
#include "trace.h"
