// A versioned reference to the C library (memcpy@GLIBC_2.2.5) reaches that version.
//#NotElsewhere: it names versions of glibc for x86-64
#include <stdio.h>
#include <string.h>
void *old_memcpy(void *, const void *, size_t);
__asm__(".symver old_memcpy, memcpy@GLIBC_2.2.5");
int main(void) {
    char text[8];
    void *(*volatile copy)(void *, const void *, size_t) = old_memcpy;
    copy(text, "version", 8);
    puts(text);
    return 0;
}
