#define UNIT 2
#include "unit.h"
