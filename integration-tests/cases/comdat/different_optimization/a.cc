#include "shared.h"
int a(int n) { return fill(n) + fill(2); }
