#include <stdio.h>
#include <stdlib.h>
static void q1(void) { puts("Q 1"); }
static void q2(void) { puts("Q 2"); }
static void q3(void) { puts("Q 3"); }
__attribute__((constructor)) static void init(void) { puts("init Q"), atexit(q1); }
__attribute__((destructor)) static void fini(void) { puts("fini Q"); }
void register_q2(void) { atexit(q2); }
void register_q3(void) { atexit(q3); }
