int f_old(int);
__asm__(".symver f_old, f@V1");
int old(int x) { return f_old(x); }
