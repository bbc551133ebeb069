#define NAME "P4"
#define NEXT "P5"
#include "deep.h"
