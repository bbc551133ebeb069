// A shared library that gets callbacks and data of JIT'd code, and a JIT'd dylib that links it.
//#Shared: libcall.so call.c
//#Inputs: main.c libcall.so
//#Pic: pic nopic
#include <stdio.h>
int call_each(int (*f)(int, void *), void *data, int count);
static int add(int n, void *data) { return *(int *)data += n; }
int main(void) {
    int total = 5;
    int last = call_each(add, &total, 4);
    printf("%d %d\n", total, last);
    return 0;
}
