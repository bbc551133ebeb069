// Objects merged by ld -r: their .eh_frame has many CIEs and relocations against section symbols.
//#Make: merged.o = ld -r -o merged.o a.o b.o
//#Inputs: main.cc merged.o
//#Pic: pic nopic
#include <cstdio>
int a(int), b(int);
int main() {
    for (int i = 0; i < 3; i++) {
        try {
            std::printf("%d\n", a(i) + b(i));
        } catch (int n) {
            std::printf("int %d\n", n);
        } catch (const char *text) {
            std::printf("text %s\n", text);
        }
    }
    return 0;
}
