#define UNIT 16
#include "unit.h"
