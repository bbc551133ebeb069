#include "say.h"
const char *b_name();
static Say here("C's");
const char *c_name() { return b_name(); }
