#include "shared.h"
int b() { return next() * 10; }
