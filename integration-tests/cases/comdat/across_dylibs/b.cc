#include "shared.h"
int *b_slot() { return &slot(); }
