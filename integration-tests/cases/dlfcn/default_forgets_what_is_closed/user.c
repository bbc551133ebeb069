#include <stdio.h>
const char *name(void);
void use(void) { printf("USER has %s\n", name()); }
