// Constructors and destructors of class templates: C1/C2 and D0/D1/D2 variants in groups of their own (C5/D5).
//#Pic: pic nopic
#include "node.h"
Base *make(int);
int main() {
    Base *one = make(1), *two = new Leaf<long>(2);
    std::printf("%d %d\n", one->value(), two->value());
    delete one;
    delete two;
    return 0;
}
