#include <stdio.h>
static int hook(void) { return puts("hook of a") >= 0; }
__attribute__((section("hooks"), used)) static int (*const entry)(void) = hook;
