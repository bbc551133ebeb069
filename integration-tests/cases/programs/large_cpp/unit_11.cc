#define UNIT 11
#include "unit.h"
