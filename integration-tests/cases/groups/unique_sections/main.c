// ld -r with a merged string section, common symbols and init arrays inside.
//#Make: merged.o = ld -r -d -o merged.o a.o b.o
//#Flags: -O1 -fcommon
//#Inputs: main.c merged.o
#include <stdio.h>
extern int tentative[4];
const char *a(void), *b(void);
int main(void) {
    printf("%s %s %d\n", a(), b(), tentative[1]);
    return 0;
}
