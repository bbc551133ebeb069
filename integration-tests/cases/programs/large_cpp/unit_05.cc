#define UNIT 5
#include "unit.h"
