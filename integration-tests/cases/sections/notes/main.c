// CET notes, comments, a .note of one's own: none of them hurts; the own one can be read through its set.
//#Flags: -O0 -fcf-protection | -O2 -fcf-protection
#include <stdio.h>
__attribute__((section(".note.mine"), aligned(4), used)) static const struct {
    int name_size, content_size, type;
    char name[8], content[4];
} note = {5, 4, 1, "MINE", "abc"};
__asm__(".ident \"a comment\"");
int main(void) {
    int (*volatile print)(const char *, ...) = printf;
    print("%s %s\n", note.name, note.content);
    return 0;
}
