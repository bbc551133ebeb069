// Variables of the C library are one object for the program and the library: either side writes, the other reads, also after fork.
//#Args: -o value rest
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
extern char **environ;
extern char **__environ;
static int in_environ(const char *text) {
    for (char **e = environ; *e; e++)
        if (!strcmp(*e, text)) return 1;
    return 0;
}
int main(int argc, char **argv) {
    int option = getopt(argc, argv, "o:");
    printf("%c %s %d %s\n", option, optarg, optind, argv[optind]);
    optind = 1; // ours to write, the library's to read
    option = getopt(argc, argv, "o:");
    printf("again %c %s\n", option, optarg);
    opterr = 0;
    char *wrong[] = {"x", "-z", 0};
    optind = 1;
    option = getopt(2, wrong, "o:");
    printf("%c %c\n", option, optopt);

    setenv("COPIED", "by the library", 1);
    printf("%d %d\n", in_environ("COPIED=by the library"), &environ == &__environ);
    static char *mine[] = {"COPIED=by the program", "TZ=XYZ-3", 0};
    environ = mine;
    printf("%s\n", getenv("COPIED"));
    tzset();
    printf("%ld %s\n", timezone, tzname[0]);

    FILE *real = stdout;
    char *text;
    size_t size;
    stdout = open_memstream(&text, &size);
    printf("caught");
    fclose(stdout);
    stdout = real;
    printf("%s %zu\n", text, size);
    fflush(stdout);

    pid_t child = fork();
    if (child == 0) {
        optind = 42;
        setenv("COPIED", "by the child", 1);
        printf("child %d %s\n", optind, getenv("COPIED"));
        fflush(stdout);
        _exit(in_environ("COPIED=by the child") ? 5 : 6);
    }
    int status;
    waitpid(child, &status, 0);
    printf("parent %d %s %d\n", optind, getenv("COPIED"), WEXITSTATUS(status));
    fprintf(stderr, "not compared\n");
    return 0; // standard output is flushed by exit
}
