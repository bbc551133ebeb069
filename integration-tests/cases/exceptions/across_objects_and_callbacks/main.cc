// An exception leaves a callback of qsort and bsearch, crosses the C library's frames and two objects, and runs every destructor.
//#Pic: pic nopic
#include <cstdio>
#include <cstdlib>
struct Note {
    const char *text;
    ~Note() { std::printf("leaving %s\n", text); }
};
int sorted(int *values, int count);
int main() {
    int values[] = {4, 2, 9, 13, 1};
    Note note{"main's block"};
    try {
        Note inner{"try"};
        sorted(values, 5);
        std::puts("not reached");
    } catch (const int &value) {
        std::printf("caught %d\n", value);
    }
    int good[] = {3, 1, 2};
    std::printf("%d\n", sorted(good, 3));
    return 0;
}
