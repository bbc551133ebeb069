#include "chain.h"
int q_frame(int (*function)(int), int n) { Note note{"the dylib Q"}; return c_frame(function, n) + 1; }
