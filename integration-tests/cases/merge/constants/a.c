#include <math.h>
double a(double x) { return -x * 3.25 + __builtin_fabs(x) * 1e100 / 1e100; }
float c(float x) { return -x + 0.5f; }
