#define NAME b
#include "unified_dylib.h"
