#include "node.h"
Base *make(int n) { return new Leaf<int>(n); }
