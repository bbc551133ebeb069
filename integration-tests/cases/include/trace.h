/* A dylib that says when it is initialized and finalized: compiled once for each name, -DNAME=A. */
#include <stdio.h>
#define STR_(x) #x
#define STR(x) STR_(x)
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
__attribute__((constructor)) static void trace_init(void) { puts("init " STR(NAME)); }
__attribute__((destructor)) static void trace_fini(void) { puts("fini " STR(NAME)); }
