#include "meet.h"
sem_t meet[4];
int met[2], got[2], runs[2];
