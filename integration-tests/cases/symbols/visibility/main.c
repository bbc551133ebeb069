// Hidden, protected and internal symbols bind inside their dylib, from every object of it.
#include <stdio.h>
#define V(k) __attribute__((visibility(k)))
V("hidden") extern int hidden_data;
V("hidden") int hidden_function(int);
V("protected") int protected_function(int);
V("internal") int internal_function(int);
int (*pointers[])(int) = {hidden_function, protected_function, internal_function};
int main(void) {
    printf("%d %d %d %d %d\n", hidden_data, hidden_function(1), protected_function(2), internal_function(3), pointers[0](4) + pointers[1](5) + pointers[2](6));
    return 0;
}
