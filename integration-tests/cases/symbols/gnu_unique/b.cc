#include "unique.h"
extern "C" int *from_b() { return unique(); }
