#include "shape.h"
int area_of(const Shape &shape) { return (int)shape.scaled(2.5); }
