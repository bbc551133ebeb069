#define UNIT 1
#include "unit.h"
