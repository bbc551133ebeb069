// Variables of the C library reached as each model reaches them: stdout, stderr, environ, optarg, and their addresses in data.
//#Env: CASE_MARK=found
#include <stdio.h>
#include <string.h>
#include <unistd.h>
extern char **environ;
FILE **where = &stdout;
char ***environment = &environ;
int main(int argc, char **argv) {
    (void)argc;
    int mark = 0;
    for (char **e = environ; *e; e++) mark |= strcmp(*e, "CASE_MARK=found") == 0;
    fprintf(stdout, "mark %d, same %d %d\n", mark, *where == stdout, *environment == environ);
    char *words[] = {argv[0], "-v", "value", 0};
    optind = 1;
    int option = getopt(3, words, "v:");
    fprintf(*where, "%c %s %d\n", option, optarg, optind);
    fflush(stdout);
    return 0;
}
