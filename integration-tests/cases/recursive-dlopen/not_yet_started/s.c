#define NAME S
#include "trace.h"
