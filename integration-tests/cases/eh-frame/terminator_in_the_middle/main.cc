// An object that ends its .eh_frame with a zero word, as crtend.o does, must not end the table for the objects after it.
//#Inputs: main.cc ends.s after.cc
//#Pic: pic nopic
#include <cstdio>
int after(int);
int main() {
    try {
        after(1);
    } catch (long n) {
        std::printf("caught %ld\n", n);
    }
    return 0;
}
