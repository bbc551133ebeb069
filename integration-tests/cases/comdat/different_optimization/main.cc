// The same inline functions from a unit built with -O0 and one with -O3, with exceptions through them.
//#Flags: -O0 | -O2
//#FlagsFor: a.cc -O3
//#FlagsFor: b.cc -O0 -fno-asynchronous-unwind-tables
//#Pic: pic nopic
#include <cstdio>
int a(int), b(int);
int main() { return std::printf("%d %d\n", a(4), b(4)) < 0; }
