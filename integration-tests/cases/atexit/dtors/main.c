// .dtors runs first to last, and takes its place among the finalizers.
//#Rule: 19
#include <stdio.h>
void say(const char *text) { puts(text); }
int main(void) {
    puts("main");
    return 0;
}
