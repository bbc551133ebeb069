#define NAME q
#include "unified_dylib.h"
