// Units whose COMDAT functions are dropped leave no hole in .eh_frame: exceptions through the units after them still unwind.
//#Pic: pic nopic
#include <cstdio>
#include <initializer_list>
int a(int), b(int), c(int), d(int);
int main() {
    int total = 0;
    for (int (*f)(int) : {a, b, c, d}) {
        try {
            total += f(1);
        } catch (int n) {
            total += n;
        }
    }
    std::printf("%d\n", total);
    return 0;
}
