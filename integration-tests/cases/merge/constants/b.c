typedef double v4 __attribute__((vector_size(32)));
double b(double x) { v4 k = {3.25, -1e-3, 7.5, 3.25}; volatile v4 r = k * x; return r[0] + r[1] + r[2] + r[3] + __builtin_fabs(-x); }
