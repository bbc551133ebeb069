#define NAME "P3"
#define NEXT "P4"
#include "deep.h"
