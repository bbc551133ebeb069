// An inline thread_local variable that the program and a dylib define is one, with and without a constructor.
//#Rule: 30
//#Dylib: B b.cc
//#Pic: pic
//#Libs: -lpthread
#include "shared.h"
#include <cstdio>
#include <thread>
static void look(const char *who) {
    plain += 2;
    made.number += 3;
    std::printf("%s: %d %d %d %d\n", who, *b_plain(), b_made()->number, &plain == b_plain(), &made == b_made());
}
int main() {
    look("main");
    std::thread(look, "thread").join();
    look("main");
}
