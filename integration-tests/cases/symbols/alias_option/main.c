// --alias gives another name to a symbol, --entry starts elsewhere than main.
//#OrcOptions: --alias other=original --entry start_here
//#Exit: 4
//#ExpectStdout: started 12 1
#include <stdio.h>
int original(void) { return 12; }
int other(void);
int start_here(int argc, char **argv) {
    (void)argv;
    printf("started %d %d\n", other(), argc);
    return 4;
}
int main(void) { return 1; }
