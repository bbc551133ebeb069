#include "types.h"
const char *Keyed::what() const noexcept { return "key function in C"; }
Shape *c_make() { return new Round; }
