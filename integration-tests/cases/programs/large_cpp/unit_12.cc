#define UNIT 12
#include "unit.h"
