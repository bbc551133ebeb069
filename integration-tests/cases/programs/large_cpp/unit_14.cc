#define UNIT 14
#include "unit.h"
