#include "set.h"
ENTRY(a_one, 10)
