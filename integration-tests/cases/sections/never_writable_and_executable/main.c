// No mapping of the process is writable and executable, neither while initializers run nor later.
#include <stdio.h>
#include <string.h>
static int count(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4096];
    int both = 0;
    while (fgets(line, sizeof line, maps)) both += strstr(line, " rwx") != 0;
    fclose(maps);
    return both;
}
static int early;
__attribute__((constructor(101))) static void init(void) { early = count(); }
int main(void) {
    printf("%d %d\n", early, count());
    return 0;
}
