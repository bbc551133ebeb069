#define UNIT 6
#include "unit.h"
