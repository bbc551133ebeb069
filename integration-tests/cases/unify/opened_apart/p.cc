#define NAME p
#include "unified_dylib.h"
