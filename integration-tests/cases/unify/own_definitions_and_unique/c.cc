#define NAME c
#include "unified_dylib.h"
