#define UNIT 22
#include "unit.h"
