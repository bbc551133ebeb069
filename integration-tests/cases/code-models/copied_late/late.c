#include <stdio.h>
#include <unistd.h>
extern char **environ;
FILE **late_stdout(void) { return &stdout; }
char ***late_environ(void) { return &environ; }
