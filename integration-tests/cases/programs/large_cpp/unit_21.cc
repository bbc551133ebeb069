#define UNIT 21
#include "unit.h"
