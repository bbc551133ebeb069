#define UNIT 3
#include "unit.h"
