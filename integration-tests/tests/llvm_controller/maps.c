/* Is any page writable and executable while linked code runs? */
#include <stdio.h>
#include <string.h>

int main(void) {
    char line[512];
    int both = 0, lines = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) {
        lines++;
        if (strstr(line, " rwx"))
            both++;
    }
    fclose(maps);
    printf("%s, %d writable and executable\n", lines > 10 ? "many" : "few", both);
    return both;
}
