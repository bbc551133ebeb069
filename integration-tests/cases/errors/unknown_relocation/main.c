// A relocation type that the psABI does not have: its number, the object, the section and offset.
//#NotLazy: damage in what is never called is never met
//#Compiler: gcc
//#Flags: -O1
//#Pic: pic
//#Make: odd.o = at=$(grep -obUaP "\x23\x01\x11\x22\x1e\x2b\x57\x1e" marked.o | tail -n 1 | cut -d: -f1); cp marked.o odd.o; printf "\\310" | dd of=odd.o bs=1 seek=$((at-8)) conv=notrunc status=none
//#Inputs: main.c odd.o
//#ExpectError: odd.o ... 200
//#ExpectError: .data
#include <stdio.h>
int main(void) {
    puts("ran");
    return 0;
}
