#define UNIT 20
#include "unit.h"
