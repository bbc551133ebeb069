#include "say.h"
static Say plain("a plain");
static Say prio __attribute__((init_priority(300)))("a priority");
