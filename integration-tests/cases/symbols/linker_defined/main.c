// What linkers define: _GLOBAL_OFFSET_TABLE_, __dso_handle, __ehdr_start where there is one.
//#Pic: pic pie
//#Dylib: B b.c
#include <stdio.h>
extern void *__dso_handle __attribute__((visibility("hidden")));
extern const char _GLOBAL_OFFSET_TABLE_[] __attribute__((visibility("hidden")));
extern const char __ehdr_start[] __attribute__((weak, visibility("hidden")));
const void *b_handle(void);
int main(void) {
    const char *volatile header = __ehdr_start;
    printf("handles differ: %d\n", (const void *)&__dso_handle != b_handle());
    printf("table: %d\n", _GLOBAL_OFFSET_TABLE_ != 0);
    printf("header: %s\n", !header || (header[0] == 0x7f && header[1] == 'E') ? "fine" : "not an ELF header");
    return 0;
}
