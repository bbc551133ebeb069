#define UNIT 9
#include "unit.h"
