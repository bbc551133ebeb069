// Jump tables, tables of 32-bit addresses, strings by absolute address: what the small non-PIC model makes.
//#Pic: nopic pie
#include <stdio.h>
static const char *names[] = {"zero", "one", "two", "three", "four", "five", "six", "seven"};
__attribute__((noinline)) static int pick(int n) {
    switch (n) {
    case 0: return printf("a"), 10;
    case 1: return printf("b"), 11;
    case 2: return printf("c"), 22;
    case 3: return printf("d"), 13;
    case 4: return printf("e"), 14;
    case 5: return printf("f"), 35;
    case 6: return printf("g"), 16;
    default: return 99;
    }
}
__attribute__((noinline)) static int go(const unsigned char *code) {
    static void *const label[] = {&&halt, &&add, &&sub};
    int total = 0;
    goto *label[*code];
add:
    total += 5;
    goto *label[*++code];
sub:
    total -= 2;
    goto *label[*++code];
halt:
    return total;
}
int big[100];
int main(void) {
    int total = 0;
    for (int i = 0; i < 8; i++) total += pick(i), big[i * 7] = i;
    for (int i = 0; i < 8; i++) printf(" %s=%d", names[i], big[i * 7]);
    printf(" %d %d\n", total, go((const unsigned char *)"\1\1\2\1"));
    return 0;
}
