#define UNIT 15
#include "unit.h"
