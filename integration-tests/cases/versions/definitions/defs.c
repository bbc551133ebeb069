int f_one(int x) { return x + 10; }
int f_two(int x) { return x + 20; }
__asm__(".symver f_one, f@V1");
__asm__(".symver f_two, f@@V2");
