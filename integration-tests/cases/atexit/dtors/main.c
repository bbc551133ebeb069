// .dtors runs first to last, and takes its place among the finalizers.
#include <stdio.h>
void say(const char *text) { puts(text); }
int main(void) {
    puts("main");
    return 0;
}
