#include "say.h"
static Say plain("b plain");
static Say prio __attribute__((init_priority(200)))("b priority");
