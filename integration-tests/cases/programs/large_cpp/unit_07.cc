#define UNIT 7
#include "unit.h"
