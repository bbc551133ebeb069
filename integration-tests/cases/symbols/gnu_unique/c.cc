#include "unique.h"
extern "C" int *from_c() { return unique(); }
