#define NAME B
#include "trace.h"
