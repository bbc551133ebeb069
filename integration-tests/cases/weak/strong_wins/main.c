// A strong definition wins over weak ones before and after it; of weak ones the first wins.
#include <stdio.h>
__attribute__((weak)) int strong_later(void) { return 1; }
int strong_first(void) { return 2; }
__attribute__((weak)) int weak_only(void) { return 3; }
__attribute__((weak)) int weak_data = 4;
int a(void), b(void);
int main(void) {
    printf("%d %d %d %d\n", strong_later(), strong_first(), weak_only(), weak_data);
    printf("%d %d\n", a(), b());
    return 0;
}
