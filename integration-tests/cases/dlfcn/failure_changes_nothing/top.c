#define NAME TOP
#include "trace.h"
