// Types are the same types in every dylib: catch by class, dynamic_cast, typeid, with the key function elsewhere or nowhere.
//#Rule: 30
//#Dylib: B b.cc needs C
//#Dylib: C c.cc
//#Pic: pic pie
#include "types.h"
#include <cstdio>
#include <typeinfo>
void b_throw(int);
Shape *c_make();
int main() {
    for (int i = 0; i < 3; i++) {
        try {
            b_throw(i);
        } catch (const Inline &error) {
            std::printf("Inline %d\n", error.code);
        } catch (const Keyed &error) {
            std::printf("Keyed %s\n", error.what());
        } catch (const Templated<int> &error) {
            std::printf("Templated %d\n", error.value);
        }
    }
    Shape *shape = c_make();
    std::printf("%d %d\n", dynamic_cast<Round *>(shape) != nullptr, typeid(*shape) == typeid(Round));
    std::printf("%s\n", typeid(*shape).name());
    delete shape;
    return 0;
}
