#include <stdio.h>
#include <unistd.h>
extern char **environ;
FILE **table = &stdout;
FILE **early_stdout(void) { return &stdout; }
char ***early_environ(void) { return &environ; }
