#define UNIT 10
#include "unit.h"
