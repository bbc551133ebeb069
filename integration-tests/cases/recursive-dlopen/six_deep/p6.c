#define NAME "P6"
#define NEXT (const char *)0
#include "deep.h"
