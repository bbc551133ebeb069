// thread_local with dynamic initialization in another object: wrappers and guards; inline and template variables are one each.
//#Libs: -lpthread
//#Flags: -O0 | -O2 | -Os -mtls-dialect=gnu2 | -O1 -mcmodel=large
//#Pic: pic pie
//#Only: -O0 | -O2 | -Os pic | -O1 pic
#include "shared.h"
#include <cstdio>
#include <thread>
static void look(const char *who) {
    std::printf("%s: %s %d %d %d %s\n", who, imported.c_str(), inline_variable++, other_inline(), Holder<int>::value++, local_name());
    imported += "!";
}
int main() {
    look("main");
    std::thread(look, "thread").join();
    look("main");
    std::printf("%d %d\n", &inline_variable == address_of_inline(), &Holder<int>::value == address_of_value());
}
