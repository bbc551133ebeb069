// A function in two parts, hot and cold (.text.unlikely, each with a record and a table of its own), of which the cold one throws, catches, or is passed through; several objects
// have the same ones as COMDAT groups, and one is kept.
//#Flags: -O2 -freorder-blocks-and-partition -ffunction-sections | -O2
//#Pic: pic nopic
//#Compiler: gcc
#include "parts.h"
int in_another_object(int);
int main() {
    for (int n = 0; n < 6; n++) {
        try {
            Note note{"main"};
            std::printf("gives %d\n", n % 2 ? in_another_object(n) : parts<int>(n));
        } catch (long thrown) {
            std::printf("caught %ld\n", thrown);
        }
    }
    return 0;
}
