// Without arguments argc is 1: argv[0] is always there.
#include <stdio.h>
int main(int argc, char **argv) {
    printf("%d %d %d\n", argc, argv[0] != 0 && argv[0][0] != 0, argv[1] == 0);
    return 0;
}
