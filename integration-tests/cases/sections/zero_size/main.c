// Empty sections, symbols of size zero, symbols at the very end of a section.
#include <stdio.h>
extern const char at_start[], at_end[], empty[];
extern const char empty_also[];
int end_value(void);
int main(void) {
    printf("%d %d %d\n", (int)(at_end - at_start), empty == empty_also, end_value());
    return 0;
}
