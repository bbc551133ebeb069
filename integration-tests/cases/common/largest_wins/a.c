#include <string.h>
char shared[4096];
int plain;
char aligned[8];
void fill(void) { memset(shared, 2, 4096); plain = 77; }
int check(void) { return shared[4095] + aligned[7]; }
