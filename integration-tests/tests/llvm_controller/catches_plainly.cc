// An exception in an object without anything else.
#include <cstdio>

static int thrower(int value) {
    if (value)
        throw value;
    return 0;
}

int main() {
    try {
        return thrower(9);
    } catch (int value) {
        std::printf("caught %d\n", value);
        return value;
    }
}
