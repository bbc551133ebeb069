#define NAME BASE
#include "trace.h"
