#define NAME P
#include "trace.h"
int help(void);
int work(void) { return help() + 1; }
