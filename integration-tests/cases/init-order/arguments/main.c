// Initializers are called as f(argc, argv, envp), as glibc does.
//#Rule: 6
//#Args: one two
//#Env: CASE_MARK=found
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
__attribute__((constructor)) static void init(int argc, char **argv, char **envp) {
    int mark = 0;
    for (char **e = envp; *e; e++) mark |= strcmp(*e, "CASE_MARK=found") == 0;
    printf("init: %d arguments, %s %s, mark %d\n", argc, argv[1], argv[2], mark);
}
int main(int argc, char **argv, char **envp) {
    printf("main: %d arguments, %s %s, end %d, getenv %s, envp %d\n", argc, argv[1], argv[2], argv[argc] == 0, getenv("CASE_MARK"), envp != 0);
    return argc;
}
//#Exit: 3
