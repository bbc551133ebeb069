#include <string.h>
extern char huge[200000];
extern int small;
int *pointer_of_other = &small;
int other(int x) { return x + huge[199999] + *pointer_of_other + (int)strlen("text"); }
