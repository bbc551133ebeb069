// Units without unwind tables beside units with them, and one whose .eh_frame the compiler writes as plain data.
//#Pic: pic nopic
//#Compiler: gcc
//#FlagsFor: plain.c -fno-asynchronous-unwind-tables -fno-unwind-tables
//#FlagsFor: old.cc -fno-dwarf2-cfi-asm
#include <cstdio>
extern "C" int plain(int);
int old_style(int);
int main() {
    int total = plain(1);
    try {
        total += old_style(3);
    } catch (const char *text) {
        std::printf("%s %d\n", text, total);
    }
    return 0;
}
