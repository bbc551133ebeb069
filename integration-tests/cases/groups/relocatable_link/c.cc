#include "shared.h"
int c() { return next() * 10; }
