#define UNIT 13
#include "unit.h"
