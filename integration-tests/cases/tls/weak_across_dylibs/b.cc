#include "shared.h"
int *b_plain() { return &plain; }
Made *b_made() { return &made; }
