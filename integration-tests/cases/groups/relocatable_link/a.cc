#include "shared.h"
int a() { return next() * 10; }
