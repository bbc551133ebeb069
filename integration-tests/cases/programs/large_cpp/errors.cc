#include "errors.h"
int Error::weight() const { return 1; }
int SyntaxError::weight() const { return position; }
