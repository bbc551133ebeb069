#define UNIT 18
#include "unit.h"
