#include <stdio.h>
int help(void);
int work(void) { return help(); }
__attribute__((destructor)) static void fini(void) { puts("fini P"); }
