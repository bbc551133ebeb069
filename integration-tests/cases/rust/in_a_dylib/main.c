// A dylib of Rust and its rlibs, as a cdylib is one, opened by a program in C: it is opened, used from two threads, closed, and opened again.
//#Make: rust.ld = echo "INPUT(" "$(rustc --print target-libdir)"/lib*.rlib ")" > rust.ld
//#Dylib: R r.rs rust.ld
//#Needs: none
//#Compiler: gcc
//#Flags: -O2
//#FlagsFor: r.rs -Cpanic=unwind
//#Pic: pic
//#ExpectStdout: 3 words, longest 5, threads 2
//#ExpectStdout: caught 1
//#ExpectStdout: 3 words, longest 5, threads 2
//#ExpectStdout: caught 1
#include "orc_rt.h"
#include <stdio.h>
int main(void) {
    for (int round = 0; round < 2; round++) {
        void *r = __orc_rt_jit_dlopen("R", 2);
        if (!r) return puts(__orc_rt_jit_dlerror()), 1;
        int (*describe)(const char *, char *, size_t) = (int (*)(const char *, char *, size_t))__orc_rt_jit_dlsym(r, "describe");
        int (*caught)(void) = (int (*)(void))__orc_rt_jit_dlsym(r, "caught");
        char text[100];
        if (describe("a three words", text, sizeof text)) return 2;
        puts(text);
        printf("caught %d\n", caught());
        if (__orc_rt_jit_dlclose(r)) return 3;
    }
    return 0;
}
