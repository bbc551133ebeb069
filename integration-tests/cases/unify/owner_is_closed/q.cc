#define NAME q
#include "unified_dylib.h"
#include <stdio.h>
__attribute__((destructor)) static void fini() { puts("fini Q"); }
