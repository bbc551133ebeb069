#define UNIT 4
#include "unit.h"
