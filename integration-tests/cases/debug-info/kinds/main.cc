// Debug information of every kind costs nothing and breaks nothing: DWARF 4 and 5, compressed, split, with type units.
//#Flags: -g -O0 | -g3 -O2 -gdwarf-4 -fdebug-types-section | -g -gz -O1 | -g -gsplit-dwarf -O1 -gdwarf-5
//#Pic: pic nopic
//#NotOn: riscv64 clang 19 has no -gsplit-dwarf for it
#include "shape.h"
#include <cstdio>
int area_of(const Shape &);
int main() {
    Shape shape{3, 4};
    std::printf("%d %d\n", shape.area(), area_of(shape));
    return 0;
}
