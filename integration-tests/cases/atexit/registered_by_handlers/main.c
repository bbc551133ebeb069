// Handlers that handlers register, of every kind: each runs before the older ones, three deep.
//#Rule: 19 20
//#Flags: -O1
//#Pic: pic
//#Exit: 9
#include <stdio.h>
#include <stdlib.h>
extern void *__dso_handle;
int __cxa_atexit(void (*)(void *), void *, void *);
static void plain(void) { puts("plain"); }
static void third(void *text) { printf("third: %s\n", (char *)text); }
static void second(int status, void *text) {
    printf("second: %d %s\n", status, (char *)text);
    __cxa_atexit(third, "of the second", &__dso_handle);
    atexit(plain);
}
static void first(void) {
    puts("first");
    on_exit(second, "of the first");
}
static void oldest(int status, void *text) { printf("oldest: %d %s\n", status, (char *)text); }
int main(void) {
    on_exit(oldest, "argument");
    atexit(first);
    __cxa_atexit(third, "of main", &__dso_handle);
    return 9;
}
