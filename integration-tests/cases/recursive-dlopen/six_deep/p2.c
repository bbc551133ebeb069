#define NAME "P2"
#define NEXT "P3"
#include "deep.h"
