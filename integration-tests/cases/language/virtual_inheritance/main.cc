// Vtables, thunks, pointers to members, covariant returns, dynamic_cast to void, typeid names over two objects.
//#Pic: pic nopic
#include "classes.h"
#include <cstdio>
#include <typeinfo>
Root *make(int);
int main() {
    for (int i = 0; i < 3; i++) {
        Root *root = make(i);
        Right *right = dynamic_cast<Right *>(root);
        std::printf("%d %d %s %d\n", root->value(), right ? right->right() : -1, typeid(*root).name(), dynamic_cast<void *>(root) != nullptr);
        int (Root::*method)() = &Root::value;
        Root *copy = root->clone();
        std::printf("%d %d\n", (copy->*method)(), copy != root);
        delete copy;
        delete root;
    }
    return 0;
}
