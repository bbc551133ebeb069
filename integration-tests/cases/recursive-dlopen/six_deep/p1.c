#define NAME "P1"
#define NEXT "P2"
#include "deep.h"
