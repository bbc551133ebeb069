// C++ statics of several units, init_priority among them, constructed in order and destroyed in exact reverse.
//#Rule: 6 19
//#Pic: pic nopic
#include "say.h"
Say main_plain("main plain");
Say main_250 __attribute__((init_priority(250)))("main 250");
int main() {
    static Say local("local static");
    std::puts("main");
    return 0;
}
