#define NAME "P5"
#define NEXT "P6"
#include "deep.h"
