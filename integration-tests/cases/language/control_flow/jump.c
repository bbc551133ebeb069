#include <setjmp.h>
_Noreturn void jump(jmp_buf back, int n) { longjmp(back, n); }
