#define UNIT 19
#include "unit.h"
