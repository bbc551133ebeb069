// Each dylib has its own set of one name: hidden symbols do not mix them.
//#Dylib: B b.c
//#Pic: pic pie
#include <stdio.h>
extern const int __start_numbers[] __attribute__((visibility("hidden"))), __stop_numbers[] __attribute__((visibility("hidden")));
__attribute__((section("numbers"), used)) static const int mine[] = {1, 2, 3};
int b_sum(void);
int main(void) {
    int sum = 0;
    for (const int *p = __start_numbers; p < __stop_numbers; p++) sum += *p;
    printf("%d %d\n", sum, b_sum());
    return 0;
}
