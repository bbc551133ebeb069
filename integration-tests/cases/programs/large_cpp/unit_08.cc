#define UNIT 8
#include "unit.h"
