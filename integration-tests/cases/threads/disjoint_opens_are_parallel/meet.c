#include "meet.h"
sem_t meet[4];
int met[2];
