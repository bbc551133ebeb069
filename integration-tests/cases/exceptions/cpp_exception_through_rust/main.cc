// A C++ exception leaves an initializer, passes dlopen and a frame of Rust (extern "C-unwind") whose values are dropped, and is caught by C++ by its type.
//#Rule: 15
//#Dylib: P p.cc
//#Needs: none
//#Make: libstd_all.a = echo 'pub fn nothing() {}' > nothing.rs && rustc --crate-type staticlib -o libstd_all.a nothing.rs
//#Inputs: main.cc middle.rs libstd_all.a
//#Libs: -lgcc_s -lc
//#FlagsFor: middle.rs -Cpanic=unwind
//#Flags: -O2
//#Pic: pic
//#ExpectStdout: init P
//#ExpectStdout: drop in Rust
//#ExpectStdout: caught 11
//#ExpectStdout: poisoned 1
#include "open.h"
#include <stdexcept>
extern "C" void *open_through_rust(const char *name, void (*told)());
static void dropped() { puts("drop in Rust"); }
int main() {
    try {
        open_through_rust("P", dropped);
    } catch (const std::out_of_range &error) {
        printf("caught %s\n", error.what());
    }
    void *again = __orc_rt_jit_dlopen("P", RTLD_NOW);
    printf("poisoned %d\n", again == nullptr);
    return 0;
}
