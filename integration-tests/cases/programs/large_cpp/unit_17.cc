#define UNIT 17
#include "unit.h"
