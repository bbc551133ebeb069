#include "set.h"
ENTRY(b_one, 20)
ENTRY(b_two, 21)
